package faultfs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// disk is a tree of files that keeps what is durable apart from what is merely
// written, and goes wrong at an operation of one's choice.
type disk struct {
	mu   sync.Mutex // protects all below
	root *entry
	last uint64 // number of the last entry

	ops    int
	plan   Plan
	fired  string // the operation at which the fault came
	down   bool   // the power is off
	random *rand.Rand
}

// entry is a file or a folder.
type entry struct {
	ino  uint64
	dir  bool
	mode uint32

	data    []byte
	durable []byte
	pending []write // since the last fsync, in order

	names        map[string]*entry
	durableNames map[string]*entry
	moves        []move // since the last fsync of the folder, in order
}

// write is data at an offset, or where that is nil a new size.
type write struct {
	at   int64
	data []byte
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		return resize(b, w.at)
	}
	if end := w.at + int64(len(w.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[w.at:], w.data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	if size <= int64(cap(b)) {
		grown := b[:size]
		clear(grown[len(b):])
		return grown
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// move changes names: from goes, where it is not empty, and to leads to what, where
// that is not nil. For a move between folders, the other folder has its half.
type move struct {
	from, to string
	what     *entry
}

func (m move) apply(names map[string]*entry) {
	if m.from != "" {
		delete(names, m.from)
	}
	if m.what != nil {
		names[m.to] = m.what
	}
}

func newDisk(seed uint64) *disk {
	d := &disk{random: rand.New(rand.NewPCG(seed, 1))}
	d.root = d.entry(true, 0o700)
	return d
}

func (d *disk) entry(dir bool, mode uint32) *entry {
	d.last++
	e := &entry{ino: d.last, dir: dir, mode: mode}
	if dir {
		e.names, e.durableNames = map[string]*entry{}, map[string]*entry{}
	}
	return e
}

// step counts an operation and says how it ends, if not well. full says that it may
// find no room.
func (d *disk) step(name string, full bool) syscall.Errno {
	if d.down {
		return syscall.EIO
	}
	d.ops++
	if d.plan.At == 0 || d.ops != d.plan.At {
		return 0
	}
	d.fired = fmt.Sprintf("%s at operation %d", name, d.ops)
	switch d.plan.Kind {
	case NoSpace:
		if full {
			return syscall.ENOSPC
		}
		return 0
	case Cut, Tear:
		d.down = true
	}
	return syscall.EIO
}

// write writes, as far as nothing is in the way.
func (d *disk) write(e *entry, data []byte, at int64) syscall.Errno {
	w := write{at, bytes.Clone(data)}
	errno := d.step("write", true)
	switch {
	case errno == 0:
		e.pending, e.data = append(e.pending, w), w.apply(e.data)
	case d.plan.Kind == Tear && d.ops == d.plan.At:
		// The disk was in the midst of it.
		for _, part := range d.tear(w) {
			e.durable = part.apply(e.durable)
		}
	case d.plan.Kind == Half && d.ops == d.plan.At:
		w.data = w.data[:len(w.data)/2]
		e.pending, e.data = append(e.pending, w), w.apply(e.data)
	}
	return errno
}

// tear returns a beginning of a write, or some of its sectors.
func (d *disk) tear(w write) (parts []write) {
	prefix := d.random.IntN(2) == 0
	for at := 0; at < len(w.data); {
		n := min(len(w.data)-at, sector-int((w.at+int64(at))%sector))
		if d.random.IntN(2) == 0 {
			if prefix {
				return append(parts, write{w.at + int64(at), w.data[at : at+n]})
			}
			at += n
			continue
		}
		parts = append(parts, write{w.at + int64(at), w.data[at : at+n]})
		at += n
	}
	return parts
}

func (d *disk) truncate(e *entry, size int64) syscall.Errno {
	errno := d.step("truncate", true)
	if errno == 0 {
		w := write{at: size}
		e.pending, e.data = append(e.pending, w), w.apply(e.data)
	}
	return errno
}

// sync makes an entry durable. After one that failed, some of what was written is
// lost for good, although it could be read until then: so do disks and kernels.
func (d *disk) sync(e *entry) syscall.Errno {
	name := "fsync"
	if e.dir {
		name = "fsyncdir"
	}
	errno := d.step(name, false)
	switch {
	case errno == 0:
		for _, w := range e.pending {
			e.durable = w.apply(e.durable)
		}
		for _, m := range e.moves {
			m.apply(e.durableNames)
		}
		e.pending, e.moves = nil, nil
	case !d.down && !e.dir:
		d.survive(e, 2)
		e.data = bytes.Clone(e.durable)
	}
	return errno
}

// survive has some of what is pending become durable, and the rest be lost: all,
// nothing, or what falls out.
func (d *disk) survive(e *entry, regime uint64) {
	lucky := func() bool { return regime == 1 || regime == 2 && d.random.IntN(2) == 0 }
	for _, w := range e.pending {
		if lucky() {
			e.durable = w.apply(e.durable)
		} else if regime == 2 && w.data != nil {
			for _, part := range d.tear(w) {
				e.durable = part.apply(e.durable)
			}
		}
	}
	for _, m := range e.moves {
		if lucky() {
			m.apply(e.durableNames)
		}
	}
	e.pending, e.moves = nil, nil
}

// rename moves a name, within a folder at once.
func (d *disk) rename(from *entry, name string, to *entry, newName string) syscall.Errno {
	what := from.names[name]
	if what == nil {
		return syscall.ENOENT
	}
	if errno := d.step("rename", true); errno != 0 {
		return errno
	}
	if from == to {
		from.change(move{name, newName, what})
	} else {
		to.change(move{to: newName, what: what})
		from.change(move{from: name})
	}
	return 0
}

func (e *entry) change(m move) {
	m.apply(e.names)
	e.moves = append(e.moves, m)
}

// reboot returns the disk as it is found after a power cut, with fresh memory.
func (d *disk) reboot(seed uint64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.random = rand.New(rand.NewPCG(seed, 2))
	next := &disk{random: rand.New(rand.NewPCG(seed, 1)), last: d.last}
	next.root = d.found(d.root, seed%3, map[*entry]*entry{})
	return next
}

// found copies what is found of an entry; a file with two names is one file.
func (d *disk) found(e *entry, regime uint64, known map[*entry]*entry) *entry {
	if c := known[e]; c != nil {
		return c
	}
	d.survive(e, regime)
	c := &entry{ino: e.ino, dir: e.dir, mode: e.mode, data: e.durable, durable: bytes.Clone(e.durable)}
	known[e] = c
	if e.dir {
		c.names, c.durableNames = map[string]*entry{}, map[string]*entry{}
		for _, name := range slices.Sorted(maps.Keys(e.durableNames)) {
			c.names[name] = d.found(e.durableNames[name], regime, known)
			c.durableNames[name] = c.names[name]
		}
	}
	return c
}
