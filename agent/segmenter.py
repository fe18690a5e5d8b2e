"""Cuts the stream of frames into segments: whole windows, and the digest of the raw frames that they were made of. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from agent.decode import Decoder, Samples
from agent.frames import Frames, digest_update
from agent.profile import Profile
from agent.window import Windower
from evidence.merkle import Digest
from evidence.window import Window


@dataclass(frozen=True, slots=True)
class Cut:
    """A run of consecutive windows, complete or ended early, ready to be sealed. Boot-clock ms."""

    windows: tuple[Window, ...]
    window_ms: int
    raw: Digest
    frames: int
    malformed: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Segmenting:
    """What new frames or passing time have completed: windows to show, segments to seal.

    Of the new frames `short` were too short for their message and `unmapped` in none (`agent.decode.Samples`).
    """

    windows: tuple[Window, ...]
    cuts: tuple[Cut, ...]
    short: int = 0
    unmapped: int = 0


class Segmenter:
    """One uninterrupted capture of one pack, from `start_us` of the capture clock on."""

    def __init__(self, profile: Profile, start_us: int, window_ms: int, windows_per_segment: int) -> None:
        start_us = start_us // 1000 * 1000  # windows are aligned to whole milliseconds, and so are segments
        self._decoder = Decoder(profile)
        self._windower = Windower(profile, window_ms, start_us)
        self._window_ms = window_ms
        self._segment_us = window_ms * windows_per_segment * 1000
        self._end_us = start_us + self._segment_us
        self._latest_us = start_us
        self._raw = hashlib.sha256()
        self._windows: list[Window] = []

    @property
    def latest_us(self) -> int:
        """How far the capture is known: to its last frame, or to where nothing more will come."""
        return self._latest_us

    def push(self, frames: Frames, malformed: int = 0) -> Segmenting:
        """Take frames in order of capture, and how many were unreadable among them."""
        shown: list[Window] = []
        cuts: list[Cut] = []
        short = unmapped = 0
        times = np.maximum.accumulate(np.maximum(frames.time_us, self._latest_us))
        while True:
            within = int(np.searchsorted(times, self._end_us))
            samples = self._take(frames[:within], malformed, shown)
            short, unmapped = short + samples.short, unmapped + samples.unmapped
            if within == len(frames):
                break
            self._windows_until(self._end_us, shown, cuts)
            frames, times, malformed = frames[within:], times[within:], 0
        if len(times):
            self._latest_us = int(times[-1])
        return Segmenting(tuple(shown), tuple(cuts), short, unmapped)

    def advance(self, now_us: int) -> Segmenting:
        """Nothing more will come from before `now_us`: close the windows and segments that have ended by then."""
        shown: list[Window] = []
        cuts: list[Cut] = []
        while now_us >= self._end_us:
            self._windows_until(self._end_us, shown, cuts)
        self._close(self._windower.advance(now_us), shown)
        self._latest_us = max(self._latest_us, now_us)
        return Segmenting(tuple(shown), tuple(cuts))

    def finish(self, end_us: int | None) -> Segmenting:
        """End the capture at `end_us`, or just after the last frame if None: the last segment, with its true span."""
        advanced = Segmenting((), ()) if end_us is None else self.advance(end_us)
        shown = list(advanced.windows)
        self._close(self._windower.finish(end_us), shown)
        last = (self._cut(),) if self._windows else ()
        return Segmenting(tuple(shown), advanced.cuts + last)

    def _take(self, frames: Frames, malformed: int, shown: list[Window]) -> Samples:
        samples = self._decoder.decode(frames)
        if len(frames) or malformed:
            self._close(self._windower.push(frames, samples, malformed), shown)
            digest_update(self._raw, frames)
        return samples

    def _windows_until(self, end_us: int, shown: list[Window], cuts: list[Cut]) -> None:
        self._close(self._windower.advance(end_us), shown)
        cuts.append(self._cut())
        self._end_us = end_us + self._segment_us

    def _close(self, windows: list[Window], shown: list[Window]) -> None:
        self._windows += windows
        shown += windows

    def _cut(self) -> Cut:
        windows, self._windows = tuple(self._windows), []
        raw, self._raw = self._raw, hashlib.sha256()
        last = windows[-1]
        return Cut(
            windows=windows,
            window_ms=self._window_ms,
            raw=Digest(raw.digest()),
            frames=sum(each.frames for each in windows),
            malformed=sum(each.malformed for each in windows),
            start_ms=windows[0].start_ms,
            end_ms=last.start_ms + last.duration_ms,
        )
