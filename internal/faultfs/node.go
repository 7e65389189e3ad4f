package faultfs

import (
	"context"
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is an entry as the kernel knows it.
type node struct {
	fs.Inode
	d *disk
	e *entry
}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

func (n *node) kind() uint32 {
	if n.e.dir {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

func (n *node) attr(a *fuse.Attr) {
	a.Ino, a.Mode, a.Nlink = n.e.ino, n.kind()|n.e.mode, 1
	a.Size, a.Blksize, a.Blocks = uint64(len(n.e.data)), 4096, uint64(len(n.e.data)+511)/512
}

// child is the node of an entry in the folder n.
func (n *node) child(ctx context.Context, e *entry, out *fuse.EntryOut) *fs.Inode {
	c := &node{d: n.d, e: e}
	c.attr(&out.Attr)
	return n.NewInode(ctx, c, fs.StableAttr{Mode: c.kind(), Ino: e.ino})
}

// locked runs an operation while nobody else does.
func (n *node) locked(op func() syscall.Errno) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	return op()
}

// alive is for operations that no fault is planned for.
func (n *node) alive() syscall.Errno {
	if n.d.down {
		return syscall.EIO
	}
	return 0
}

// Lookup finds a name in a folder.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (found *fs.Inode, errno syscall.Errno) {
	errno = n.locked(func() syscall.Errno {
		if errno := n.alive(); errno != 0 {
			return errno
		}
		e := n.e.names[name]
		if e == nil {
			return syscall.ENOENT
		}
		found = n.child(ctx, e, out)
		return 0
	})
	return found, errno
}

// Getattr says what there is to say of an entry.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.locked(func() syscall.Errno {
		n.attr(&out.Attr)
		return n.alive()
	})
}

// Setattr changes the size and the mode.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.locked(func() syscall.Errno {
		if size, ok := in.GetSize(); ok {
			if errno := n.d.truncate(n.e, int64(size)); errno != 0 {
				return errno
			}
		}
		if mode, ok := in.GetMode(); ok {
			n.e.mode = mode & 0o777
		}
		n.attr(&out.Attr)
		return n.alive()
	})
}

// Readdir lists a folder.
func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var list []fuse.DirEntry
	errno := n.locked(func() syscall.Errno {
		for _, name := range slices.Sorted(maps.Keys(n.e.names)) {
			c := &node{e: n.e.names[name]}
			list = append(list, fuse.DirEntry{Name: name, Ino: c.e.ino, Mode: c.kind()})
		}
		return n.d.step("readdir", false)
	})
	return fs.NewListDirStream(list), errno
}

// Create makes and opens a file.
func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (made *fs.Inode, fh fs.FileHandle, flags uint32, errno syscall.Errno) {
	errno = n.locked(func() syscall.Errno {
		if errno := n.d.step("create", true); errno != 0 {
			return errno
		}
		e := n.d.entry(false, mode&0o777)
		n.e.change(move{to: name, what: e})
		made = n.child(ctx, e, out)
		return 0
	})
	return made, nil, 0, errno
}

// Mkdir makes a folder.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (made *fs.Inode, errno syscall.Errno) {
	errno = n.locked(func() syscall.Errno {
		if errno := n.d.step("mkdir", true); errno != 0 {
			return errno
		}
		e := n.d.entry(true, mode&0o777)
		n.e.change(move{to: name, what: e})
		made = n.child(ctx, e, out)
		return 0
	})
	return made, errno
}

// Open opens a file.
func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, n.locked(func() syscall.Errno { return n.d.step("open", false) })
}

// Read reads from a file.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	size := 0
	errno := n.locked(func() syscall.Errno {
		if off < int64(len(n.e.data)) {
			size = copy(dest, n.e.data[off:])
		}
		return n.d.step("read", false)
	})
	return fuse.ReadResultData(dest[:size]), errno
}

// Write writes to a file.
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	errno := n.locked(func() syscall.Errno { return n.d.write(n.e, data, off) })
	return uint32(len(data)), errno
}

// Fsync makes a file or a folder durable.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return n.locked(func() syscall.Errno { return n.d.sync(n.e) })
}

// Rename moves a name; what had the other one is gone.
func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	return n.locked(func() syscall.Errno {
		to := parent.(*node).e
		if flags&unix.RENAME_NOREPLACE != 0 && to.names[newName] != nil {
			return syscall.EEXIST
		}
		return n.d.rename(n.e, name, to, newName)
	})
}

// Link gives a file one more name.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (found *fs.Inode, errno syscall.Errno) {
	errno = n.locked(func() syscall.Errno {
		if n.e.names[name] != nil {
			return syscall.EEXIST
		}
		if errno := n.d.step("link", true); errno != 0 {
			return errno
		}
		e := target.(*node).e
		n.e.change(move{to: name, what: e})
		found = n.child(ctx, e, out)
		return 0
	})
	return found, errno
}

// Unlink takes a name from a file.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.remove("unlink", name)
}

// Rmdir removes an empty folder.
func (n *node) Rmdir(_ context.Context, name string) syscall.Errno { return n.remove("rmdir", name) }

func (n *node) remove(op, name string) syscall.Errno {
	return n.locked(func() syscall.Errno {
		switch e := n.e.names[name]; {
		case e == nil:
			return syscall.ENOENT
		case e.dir && len(e.names) > 0:
			return syscall.ENOTEMPTY
		}
		if errno := n.d.step(op, false); errno != 0 {
			return errno
		}
		n.e.change(move{from: name})
		return 0
	})
}

// Statfs says that there is much room.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Blocks, out.Bfree, out.Bavail = 4096, 1<<24, 1<<24, 1<<24
	return n.locked(n.alive)
}
