package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cypherface/edge/store"
)

// VerifyOptions says what Verify should look at besides the log.
type VerifyOptions struct {
	// Checkpoints are signed notes from elsewhere: from exports, a central, paper.
	Checkpoints []string
	// Progress, when set, is told how many events are done of how many.
	Progress func(done, total uint64)
}

// Verify reads the whole log and holds it against its own checkpoints and those
// given: a changed, missing or reordered event and a fork are findings of the
// report. The error is that it could not be read at all.
func (l *Log) Verify(ctx context.Context, opt VerifyOptions) (Report, error) {
	l.mu.Lock() // no period comes or goes meanwhile
	defer l.mu.Unlock()
	info := l.Store.Info()
	v := &verification{Log: l, opt: opt, report: Report{Key: l.key, Epoch: info.Epoch}}
	if err := v.run(ctx, info); err != nil {
		return v.report, fmt.Errorf("verify the audit log: %w", err)
	}
	return v.report, nil
}

type verification struct {
	*Log
	opt    VerifyOptions
	report Report
	total  uint64
}

func (v *verification) run(ctx context.Context, info store.Info) error {
	given := map[uint64][]Checkpoint{}
	for _, signed := range v.opt.Checkpoints {
		c, err := ParseCheckpoint(signed, v.key)
		if err != nil {
			return err
		}
		given[c.Epoch] = append(given[c.Epoch], c)
	}
	var all []store.Period
	var tree store.Tree
	err := v.Store.View(ctx, func(tx *store.Tx) (err error) {
		for p, err := range store.All(tx, store.Periods) {
			if err != nil {
				return err
			}
			all = append(all, p)
			v.total += p.To - p.From + 1
		}
		tree, err = store.JournalTree(tx)
		return err
	})
	if err != nil {
		return err
	}
	epochs, err := v.epochs(all, given, info.Epoch)
	if err != nil {
		return err
	}
	for _, epoch := range epochs {
		marks, bad, err := v.checkpoints(epoch)
		if err != nil {
			return err
		}
		a := newAuditor(&v.report, epoch, info.Device, store.Tree{}, append(marks, given[epoch]...))
		if bad > 0 {
			a.find(0, 0, "%d checkpoints are not signed by this box", bad)
		}
		for _, p := range all {
			if p.Epoch == epoch {
				if err := v.period(ctx, a, &p); err != nil {
					return err
				}
			}
		}
		if epoch == info.Epoch {
			if err := v.tail(ctx, a, tree); err != nil {
				return err
			}
		}
		a.end()
	}
	return nil
}

// epochs lists those that anything is known of, in order: their numbers have gaps.
func (v *verification) epochs(all []store.Period, given map[uint64][]Checkpoint, present uint64) ([]uint64, error) {
	known := map[uint64]bool{present: true}
	for i := range all {
		known[all[i].Epoch] = true
	}
	for epoch := range given {
		known[epoch] = true
	}
	files, err := os.ReadDir(v.Dir)
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), notesSuffix)
		if epoch, err := strconv.ParseUint(digits, 16, 64); ok && err == nil {
			known[epoch] = true
		}
	}
	return slices.Sorted(maps.Keys(known)), err
}

// period reads the file of a period.
func (v *verification) period(ctx context.Context, a *auditor, p *store.Period) error {
	if p.From > a.expect {
		a.missing(a.expect, p.From-1)
	}
	if !p.Dropped.IsZero() {
		v.report.Dropped += p.To - p.From + 1
		a.period(p)
		return nil
	}
	f, err := openPeriod(v.Dir, p.ID, v.sealer)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a.find(p.From, p.To, "events %d to %d are missing: the file %s is not there", p.From, p.To, periodName(p.ID))
		a.period(p)
		return nil
	case errors.Is(err, store.ErrDamaged):
		a.find(p.From, p.To, "events %d to %d cannot be read: %v", p.From, p.To, err)
		a.period(p)
		return nil
	case err != nil:
		return err
	}
	defer f.close()
	before := a.tree
	for i := range f.index {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.block(a, f, i)
	}
	if a.expect <= p.To {
		a.missing(a.expect, p.To)
	}
	switch {
	case a.lost && before.Size() == p.From-1: // what follows can still be held against checkpoints
		a.tree, a.lost = before, false
		a.period(p)
	case !a.lost && a.tree.Root() != p.Root:
		a.find(p.From, p.To, "events %d to %d do not give the root that was kept when they were moved into %s", p.From, p.To, periodName(p.ID))
	}
	return nil
}

func (v *verification) block(a *auditor, f *periodFile, i int) {
	b := &f.index[i]
	events, hashes, err := f.block(i)
	if err != nil {
		a.unreadable(b.first, b.first+uint64(b.count)-1, err)
		return
	}
	for j := range events {
		a.event(&events[j].Event, events[j].Raw, &hashes[j])
		v.personal(a, &events[j])
	}
	v.progress()
}

// personal checks a personal part that can still be read.
func (v *verification) personal(a *auditor, e *store.Envelope) {
	if e.Personal == nil {
		return
	}
	if _, err := store.OpenPersonal(v.sealer, e); err != nil && !errors.Is(err, store.ErrErased) {
		a.find(e.Seq, e.Seq, "the personal part of event %d was changed: %v", e.Seq, err)
	}
}

func (v *verification) progress() {
	if v.opt.Progress != nil {
		v.opt.Progress(v.report.Events+v.report.Dropped, max(v.total, v.report.Events+v.report.Dropped))
	}
}

// tail reads what lies in the store, up to the tree that was read before.
func (v *verification) tail(ctx context.Context, a *auditor, tree store.Tree) error {
	v.total = max(v.total, tree.Size())
	for from := a.expect; from <= tree.Size(); from += blockEvents {
		to := min(from+blockEvents-1, tree.Size())
		err := v.Store.View(ctx, func(tx *store.Tx) error {
			for next := from; next <= to; {
				next = v.stretch(tx, a, next, to)
			}
			return nil
		})
		if err != nil {
			return err
		}
		v.progress()
	}
	if a.expect <= tree.Size() {
		a.missing(a.expect, tree.Size())
	}
	v.report.Size, v.report.Root = tree.Size(), tree.Root().String()
	if !a.lost && !a.apart && a.tree.Root() != tree.Root() {
		a.find(a.vouch+1, tree.Size(), "an event of %d to %d was changed: the journal does not give its root", a.vouch+1, tree.Size())
	}
	return nil
}

// stretch reads events until one cannot be read, and returns where to go on.
func (v *verification) stretch(tx *store.Tx, a *auditor, from, to uint64) uint64 {
	next := from
	for e, err := range store.Envelopes(tx, from, to) {
		if err != nil {
			// The event after the last that was read, or one behind a gap: the error
			// names it.
			a.unreadable(next, next, err)
			return next + 1
		}
		a.event(&e.Event, e.Raw, nil)
		v.personal(a, &e)
		next = e.Seq + 1
	}
	return to + 1
}
