"""What Ctrl-C does, and when."""

import os
import signal

import pytest

from igpo_lightning.stopping import end_at_once, forget, listen, stop_on_signals, stop_requested


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_with_nothing_to_save_it_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        ctrl_c()


def test_between_updates_it_waits_and_the_second_one_does_not(capfd):
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        listen()
        ctrl_c()
        assert stop_requested() == signal.SIGINT
        assert "stopping after this update, which is saved; once more" in capfd.readouterr().err
        listen()  # the next update's: nothing is forgotten
        ctrl_c()
    assert stop_requested() == 0


def test_after_the_last_update_it_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        listen()
        forget()
        ctrl_c()


def test_sigterm_waits_from_the_start():
    with stop_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested() == signal.SIGTERM


def test_while_processes_connect_the_system_ends_one(tmp_path):
    """A handler of Python would not run while C code waits."""
    with stop_on_signals():
        end_at_once()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested() == signal.SIGTERM
        end_at_once()
        assert stop_requested() == signal.SIGTERM  # it has been asked, and is about to end


def test_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        listen()
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
