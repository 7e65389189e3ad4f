package simtest

import (
	"time"

	"github.com/cypherface/edge/store"
)

// start is the wall clock when a simulation begins.
var start = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// node is a machine with a disk: a box or the central.
type node struct {
	w    *world
	name string

	disk   *disk
	layout *store.Layout
	skew   time.Duration // of its wall clock

	alive bool
	life  int // counts starts; what an earlier life began has no effect

	slow    time.Duration // most that a sync takes
	past    []*image      // what restored backups have replaced
	archive []*image      // journals that periods hold
	syncing bool
	commits []commit // that wait for the sync

}

// commit is an update that is not durable yet.
type commit struct {
	store.Commit
	done func(error)
}

// wall is the clock on the wall: it jumps.
func (n *node) wall() time.Time { return start.Add(n.w.now + n.skew) }

// prepare opens the store.
func (n *node) prepare(epoch uint64) {
	err := n.disk.update(func(k store.KV) (err error) {
		n.layout, err = store.Prepare(k, store.Options{Environment: store.Production, Clock: n.wall, NewEpoch: epoch})
		return err
	})
	if err != nil {
		n.w.violate(n.name, "cannot open its store: %v", err)
		return
	}
	n.disk.sync()
}

// view reads what is durable.
func (n *node) view(fn func(*store.Tx) error) error {
	tx := n.layout.Read(n.disk.view())
	defer tx.Abandon()
	return fn(tx)
}

// must is view where nothing may fail.
func (n *node) must(fn func(*store.Tx) error) {
	if err := n.view(fn); err != nil {
		n.w.violate(n.name, "cannot read its store: %v", err)
	}
}

// update runs a transaction; done is told when it is durable, or that it failed. A
// crash before that leaves it open what became of it, and tells nobody.
func (n *node) update(actor store.Actor, fn func(*store.Tx) error, done func(error)) {
	var c commit
	err := n.disk.update(func(k store.KV) error {
		tx, err := n.layout.Write(k, store.Cause{Actor: actor, Essential: true})
		if err != nil {
			return err
		}
		defer tx.Abandon()
		if err := fn(tx); err != nil {
			return err
		}
		c.Commit, err = tx.Finish()
		return err
	})
	life := n.life
	if err != nil {
		n.w.after(0, func() {
			if n.life == life {
				done(err)
			}
		})
		return
	}
	c.done = done
	n.commits = append(n.commits, c)
}

// syncIn has what was committed until then durable after a while.
func (n *node) syncIn(fn func([]commit)) {
	if n.syncing || len(n.commits) == 0 {
		return
	}
	n.syncing = true
	life := n.life
	n.w.after(n.w.within(time.Millisecond, max(2*time.Millisecond, n.slow)), func() {
		if n.life != life {
			return
		}
		n.syncing = false
		n.disk.sync()
		all := n.commits
		n.commits = nil
		fn(all)
	})
}

// down stops the machine; what was not synced is lost, or a part of it.
func (n *node) down() {
	keep := 0
	if len(n.disk.log) > 0 {
		keep = n.w.rand.IntN(len(n.disk.log) + 1)
	}
	n.w.note(n.name, "crashes, %d of %d commits are kept", keep, len(n.disk.log))
	n.disk.crash(keep)
	n.alive, n.syncing, n.commits = false, false, nil
	n.life++
}
