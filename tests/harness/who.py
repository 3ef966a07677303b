"""Which process of this machine has opened a connection: what a relay asks whose rule is for some callers only."""
import os
import socket
import struct


class Who:
    """Names the process that has opened a connection of this machine. pids() gives name -> pid; children of containers count as their container."""

    def __init__(self, pids):
        self._pids = pids

    def __call__(self, near, far):
        """Of the connection from address 'near' to 'far', both (ip, port)."""
        inode = _inode_of(near, far)
        if not inode:
            return None
        for name, pid in self._pids():
            for p in (pid, *_children(pid)) if name.startswith("container") else (pid,):
                if _has_socket(p, inode):
                    return name
        return None


NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
ALL_STATES, ANY_COOKIE = 0xFFFFFFFF, 0xFFFFFFFF
INODE_AT = 16 + 4 + 48 + 16  # header, state, addresses, queues


def _inode_of(near, far):
    """Asks the kernel for the one socket: /proc/net/tcp has thousands of lines while other tests run. 0 or None: there is none."""
    ends = struct.pack("!HH4s12x4s12x", near[1], far[1], socket.inet_aton(near[0]), socket.inet_aton(far[0]))
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ALL_STATES) + ends + struct.pack("=III", 0, ANY_COOKIE, ANY_COOKIE)
    head = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as s:
        s.settimeout(1.0)
        s.send(head + body)
        answer = s.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return None
    return struct.unpack_from("=I", answer, INODE_AT)[0]


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def _has_socket(pid, inode):
    wanted, folder = f"socket:[{inode}]", f"/proc/{pid}/fd"
    try:
        return any(_link(f"{folder}/{fd}") == wanted for fd in os.listdir(folder))
    except OSError:
        return False


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None
