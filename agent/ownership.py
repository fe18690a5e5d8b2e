"""Whose files these are: what root makes by hand in a service's folders must be the service's, or it could not use them."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Within it root acts as the owner of `folder`, or of the nearest folder above it that exists; others as themselves.

    Acting as the owner, rather than giving away afterwards, also follows no link that the owner has laid for root.
    """
    owner = _nearest(folder)
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(_groups(owner))
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _nearest(folder: Path) -> os.stat_result:
    for each in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return each.stat()
    return Path("/").stat()


def _groups(owner: os.stat_result) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:  # a user without a name
        return [owner.st_gid]
