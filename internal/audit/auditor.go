package audit

import (
	"fmt"
	"slices"

	"github.com/cypherface/edge/store"
)

// Finding is something in a log that is not as it was signed or appended.
type Finding struct {
	Epoch uint64 `json:"epoch"`
	From  uint64 `json:"from,omitempty"` // number of the first event it is about; 0: of none
	To    uint64 `json:"to,omitempty"`   // and of the last
	What  string `json:"what"`
}

// Report is what a verification found.
type Report struct {
	Key         string    `json:"key"`         // that the checkpoints were verified with
	Events      uint64    `json:"events"`      // read and hashed
	Dropped     uint64    `json:"dropped"`     // known by the roots of their periods only
	Checkpoints int       `json:"checkpoints"` // whose root the events give
	Epoch       uint64    `json:"epoch"`       // the present one, or that of the export
	Size        uint64    `json:"size"`        // how many events it has
	Root        string    `json:"root"`
	Findings    []Finding `json:"findings,omitempty"` // empty: the log holds
}

// auditor reads the events of an epoch in order, grows their tree anew, and holds
// it against checkpoints.
type auditor struct {
	report *Report
	epoch  uint64
	device store.DeviceID

	tree   store.Tree
	lost   bool         // the tree cannot be grown on: an event is missing or unreadable
	apart  bool         // a checkpoint was not met; those that follow cannot be either
	marks  []Checkpoint // to come, by size
	vouch  uint64       // size of the last checkpoint that was met
	expect uint64       // number of the next event
}

// newAuditor begins with the tree of what comes before the first event it will see.
func newAuditor(r *Report, epoch uint64, device store.DeviceID, before store.Tree, marks []Checkpoint) *auditor {
	a := &auditor{report: r, epoch: epoch, device: device, tree: before, vouch: before.Size(), expect: before.Size() + 1, marks: slices.Clone(marks)}
	slices.SortStableFunc(a.marks, func(x, y Checkpoint) int { return int(int64(x.Size - y.Size)) })
	for i := 1; i < len(a.marks); i++ {
		if x, y := a.marks[i-1], a.marks[i]; x.Size == y.Size && x.Root != y.Root {
			a.find(1, x.Size, "the log is forked: two checkpoints over %d events are signed, with the roots %s and %s", x.Size, x.Root, y.Root)
		}
	}
	a.meet()
	return a
}

func (a *auditor) find(from, to uint64, format string, args ...any) {
	a.report.Findings = append(a.report.Findings, Finding{a.epoch, from, to, fmt.Sprintf(format, args...)})
}

// event takes the next event, its leaf, and the hash that it is said to have, if
// any.
func (a *auditor) event(e *store.Event, raw []byte, said *store.Hash) {
	a.report.Events++
	leaf := store.LeafHash(raw)
	if said != nil && leaf != *said {
		a.find(a.expect, a.expect, "event %d was changed: it does not have its hash", a.expect)
		leaf = *said
	}
	switch {
	case e.Epoch != a.epoch || e.Device != a.device:
		a.find(a.expect, a.expect, "event %d is of another log: of epoch %d of %s", a.expect, e.Epoch, e.Device)
	case e.Seq > a.expect:
		a.missing(a.expect, e.Seq-1)
	case e.Seq < a.expect:
		a.find(e.Seq, e.Seq, "event %d is out of order: it stands behind event %d", e.Seq, a.expect-1)
		a.lost = true
		return
	}
	a.expect = e.Seq + 1
	if !a.lost {
		a.tree.Append(leaf)
		a.meet()
	}
}

// missing says that events are not there.
func (a *auditor) missing(from, to uint64) {
	if from == to {
		a.find(from, to, "event %d is missing", from)
	} else {
		a.find(from, to, "events %d to %d are missing", from, to)
	}
	a.expect, a.lost = to+1, true
}

// unreadable says that events are there and cannot be read.
func (a *auditor) unreadable(from, to uint64, err error) {
	a.find(from, to, "events %d to %d cannot be read: %v", from, to, err)
	a.expect, a.lost = to+1, true
}

// period goes on behind a period whose events are gone, by its roots.
func (a *auditor) period(p *store.Period) {
	a.expect = p.To + 1
	if !a.lost {
		appendPeriod(&a.tree, p)
		a.meet()
	}
}

// meet holds the tree against the checkpoints over as many events.
func (a *auditor) meet() {
	for len(a.marks) > 0 && a.marks[0].Size <= a.tree.Size() {
		c := a.marks[0]
		a.marks = a.marks[1:]
		switch {
		case c.Size < a.tree.Size(): // within what was dropped
		case c.Root == a.tree.Root():
			a.report.Checkpoints++
			a.vouch = c.Size
		case !a.apart:
			a.apart = true
			if c.Size == a.vouch {
				break // told as a fork
			}
			a.find(a.vouch+1, c.Size, "an event of %d to %d was changed, or the log is forked: its root with %d events is %s, and %s was signed",
				a.vouch+1, c.Size, c.Size, a.tree.Root(), c.Root)
		}
	}
}

// end says that no event follows.
func (a *auditor) end() {
	if len(a.marks) == 0 {
		return
	}
	if last := a.marks[len(a.marks)-1]; last.Size >= a.expect {
		a.find(a.expect, last.Size, "events %d to %d are missing at the end: a checkpoint over %d events was signed", a.expect, last.Size, last.Size)
	}
}
