"""One file per screen; `page` is what all five share."""
