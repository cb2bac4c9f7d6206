"""`python -m ssl_restore` is `ssl-restore`."""

from ssl_restore_cli.main import main

if __name__ == "__main__":
    main(prog_name="ssl-restore")
