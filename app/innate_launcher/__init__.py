"""Where the command `innate` begins. Installed beside `app`, under a name that nobody else uses: `app` may be somebody's."""
