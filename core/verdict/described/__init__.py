"""Numbers that describe a study's outcomes beside its findings; none of them decides one."""
