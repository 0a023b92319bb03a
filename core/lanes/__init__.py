"""Many trials at once in one process: `lane` is what each has of a device to itself, `alone` what all of them share."""
