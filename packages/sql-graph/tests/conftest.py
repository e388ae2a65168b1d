"""What all tests of the package share."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a background job starts; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
