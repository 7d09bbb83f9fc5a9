"""Saving to what is not a plain file: a pipe is written to, and never replaced."""

from __future__ import annotations

import os
import stat
import threading

import pytest

import mixtura as mx


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_stays_a_pipe_and_its_reader_gets_the_model(tmp_path):
    pipe, copy = tmp_path / "pipe", tmp_path / "copy.safetensors"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()), daemon=True)
    reader.start()
    mix = mx.Mixture([0.3, 0.7], [[0.0], [4.0]], [1.0, 0.5])
    mx.save(mix, pipe)
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert mx.load(copy).means.tolist() == mix.means.tolist()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.safetensors", "pipe"]
