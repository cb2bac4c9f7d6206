"""The command line: parse, call the library, print.  Installed as `ssl_restore_cli`."""
