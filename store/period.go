package store

import (
	"fmt"
	"time"
)

// PeriodID names a period: epoch and first event in hex digits, see NewPeriodID.
type PeriodID string

// NewPeriodID names the period of an epoch that begins with an event.
func NewPeriodID(epoch, from uint64) PeriodID {
	return PeriodID(fmt.Sprintf("%08x-%012x", epoch, from))
}

// Period is a part of the journal that lies in a sealed file of its own, see
// internal/audit. Its events leave the store when it is there; when the file is
// dropped, the roots stay, so that what is left can still be proven. Changes of a
// Period are no events.
type Period struct {
	Meta
	ID       PeriodID  `json:"id"`
	Epoch    uint64    `json:"epoch"`
	From     uint64    `json:"from"` // number of the first event
	To       uint64    `json:"to"`   // and of the last
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest"` // times of its events
	Roots    []Hash    `json:"roots"`  // of the largest complete subtrees that make it up, in order
	Root     Hash      `json:"root"`   // of the journal's tree with To events
	Size     int64     `json:"size"`   // of the file, in bytes
	Dropped  time.Time `json:"dropped,omitzero"`
}

func (p *Period) key() PeriodID { return p.ID }
func (p *Period) kind() Kind    { return KindPeriod }
func (p *Period) spec() spec {
	return spec{silent: true, entries: []entry{Periods.entry(Number(p.Epoch), Number(p.From))}}
}

// Subtrees calls fn for the largest complete subtrees that make up the leaves
// with numbers from..to-1, counted from 0, in order: the n-th of those with
// 2^level leaves. They are at most twice as many as the bits of to.
func Subtrees(from, to uint64, fn func(level int, n uint64)) {
	for from < to {
		level := 0
		for next := uint64(2); from%next == 0 && from+next <= to && next != 0; next <<= 1 {
			level++
		}
		fn(level, from>>level)
		from += 1 << level
	}
}

// beginEpoch starts the journal anew after a backup was restored. All events of
// the epoch before must lie in periods.
func (l *Layout) beginEpoch(kv KV, epoch uint64) error {
	if epoch <= l.info.Epoch {
		return fmt.Errorf("%w: epoch %d follows no epoch %d", ErrInvalid, epoch, l.info.Epoch)
	}
	head, err := Head(l.Read(kv))
	if err != nil {
		return err
	}
	var archived uint64
	for p, err := range All(l.Read(kv), Periods, Number(l.info.Epoch)) {
		if err != nil {
			return err
		}
		archived = max(archived, p.To)
	}
	if archived != head {
		return fmt.Errorf("%w: of %d events only %d lie in periods", ErrInvalid, head, archived)
	}
	unheard, err := l.unheard(kv)
	if err != nil {
		return err
	}
	for _, bucket := range []string{
		recordBucket(KindEvent), personalBucket, outboxBucket,
		indexBucket(EventsByMerchant.name), indexBucket(EventsByPerson.name),
	} {
		if err := drop(kv, bucket, func(_, _ []byte) bool { return true }); err != nil {
			return err
		}
	}
	if err := kv.Delete(metaBucket, []byte(headKey)); err != nil {
		return err
	}
	l.info.Epoch = epoch
	if err := l.save(kv); err != nil {
		return err
	}
	return l.pendAnew(kv, unheard)
}
