"""Disks that break, for daemons under test: a small file system that fills up, one that turns read-only by an error.

Both need root and the right to mount. Without it Unmountable is raised with the reason, and the test is skipped with it.
"""
import os
import subprocess
from pathlib import Path


class Unmountable(Exception):
    pass


def _run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unmountable(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class SmallDisk:
    """A tmpfs of a few megabytes: `fill()` leaves no byte, `empty()` gives all back."""

    def __init__(self, path, mib=8):
        self.path = Path(path)
        self.path.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", self.path)
        self._ballast = self.path / "ballast"

    def fill(self):
        with open(self._ballast, "ab", buffering=0) as f:
            for size in (1 << 20, 4096, 1):  # tmpfs gives whole pages
                while True:
                    try:
                        f.write(b"x" * size)
                    except OSError:
                        break

    def empty(self):
        self._ballast.unlink()

    def close(self):
        _run("umount", "-l", self.path)


class FragileDisk:
    """ext4 in a file, mounted with errors=remount-ro as on a server; `fail()` reports an error to it as a bad disk does.

    From then on nothing can be written; only closing everything on it and mounting it again (`repair`) helps.
    """

    def __init__(self, folder, mib=16):
        folder = Path(folder)
        self.image = folder / "disk.img"
        self.path = folder / "disk"
        self.path.mkdir(parents=True)
        with open(self.image, "wb") as f:
            f.truncate(mib << 20)
        _run("mkfs.ext4", "-q", "-F", self.image)
        self._mount()

    def _mount(self, options="errors=remount-ro"):
        self.loop = _run("losetup", "--find", "--show", self.image).strip()
        try:
            _run("mount", "-t", "ext4", "-o", options, self.loop, self.path)
        except Unmountable:
            _run("losetup", "-d", self.loop)
            raise

    def fail(self):
        trigger = Path("/sys/fs/ext4") / os.path.basename(self.loop) / "trigger_fs_error"
        trigger.write_text("broken by a test")

    def _unmount(self):
        _run("umount", self.path)
        _run("losetup", "-d", self.loop)

    def repair(self, options="errors=remount-ro"):
        self._unmount()
        subprocess.run(["e2fsck", "-fy", str(self.image)], capture_output=True)  # 1: errors were corrected
        self._mount(options)

    def close(self):
        _run("umount", "-l", self.path)
        _run("losetup", "-d", self.loop)
