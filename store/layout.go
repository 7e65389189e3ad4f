package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// migrations[v] turns a store of schema v+1 into one of schema v+2. Whoever
// changes what lies in a KV adds a step; this program writes the schema after the
// last one.
var migrations = []func(*Layout, KV) error{
	// Schema 2 may be sealed and notes erasures. What lies in a store that is not
	// sealed stays as it is; programs that know schema 1 only are kept out.
	func(*Layout, KV) error { return nil },
	(*Layout).plantTree,
	// Schema 4 knows kinds and fields of records that an older program would drop
	// when it puts a record back; what lies there stays as it is.
	func(*Layout, KV) error { return nil },
}

const (
	metaBucket = "meta"
	infoKey    = "info"
	headKey    = "head"
)

// Layout is what lies in a KV, known once it is open. A backend makes one with
// Prepare and all transactions from it.
type Layout struct {
	info   Info
	sealer Sealer
	clock  func() time.Time
}

// Prepare makes an empty KV a store, or checks and migrates the one it holds;
// kv must be writable. The error matches ErrForeign where the store is of the
// other environment, of another keyring or none at all, ErrNewer where this
// program is too old, ErrSealed and ErrUnsealed where the Sealer is none for it.
func Prepare(kv KV, opt Options) (*Layout, error) {
	l := &Layout{sealer: opt.Sealer, clock: opt.Clock}
	if l.sealer == nil {
		l.sealer = Clear{}
	}
	if l.clock == nil {
		l.clock = time.Now
	}
	if !opt.Environment.Valid() {
		return nil, fmt.Errorf("open store: no environment %q", opt.Environment)
	}
	b, err := kv.Get(metaBucket, []byte(infoKey))
	if err != nil {
		return nil, err
	}
	if b == nil {
		l.info = Info{opt.Environment, NewUUID[DeviceID](), 1, 1 + len(migrations)}
		return l, errors.Join(l.save(kv), l.mark(kv), l.settle(kv))
	}
	if l.info, err = parseInfo(b, opt.Environment); err != nil {
		return nil, err
	}
	if have, want := l.info.Schema, 1+len(migrations); have > want {
		return nil, fmt.Errorf("%w: it has schema %d and this program knows %d; install the newer program again", ErrNewer, have, want)
	}
	if err := l.checkSeal(kv); err != nil {
		return nil, err
	}
	if err := l.migrate(kv, migrations); err != nil {
		return nil, err
	}
	if opt.NewEpoch != 0 {
		if err := l.beginEpoch(kv, opt.NewEpoch); err != nil {
			return nil, fmt.Errorf("begin a new epoch: %w", err)
		}
	}
	return l, l.settle(kv)
}

// migrate takes the steps that a store has not taken yet.
func (l *Layout) migrate(kv KV, steps []func(*Layout, KV) error) error {
	have := l.info.Schema
	if have == 1+len(steps) {
		return nil
	}
	for _, step := range steps[have-1:] {
		if err := step(l, kv); err != nil {
			return fmt.Errorf("migrate from schema %d: %w", l.info.Schema, err)
		}
		l.info.Schema++
	}
	return l.save(kv)
}

// plantTree leads to schema 3, in which the head of the journal has its tree.
// Events that were trimmed from its beginning count as empty leaves.
func (l *Layout) plantTree(kv KV) error {
	b, err := kv.Get(metaBucket, []byte(headKey))
	if err != nil || b == nil {
		return err
	}
	head, err := parseSeq(b)
	if err != nil {
		return err
	}
	var t Tree
	err = l.Read(kv).scanEvents(Range{}, func(e Envelope) (bool, error) {
		for trimmed := t.Size() == 0; trimmed && t.Size() < e.Seq-1; {
			t.Append(LeafHash(nil))
		}
		t.Append(LeafHash(e.Raw))
		if t.Size() != e.Seq {
			return false, fmt.Errorf("%w: event %d of the journal is missing", ErrDamaged, t.Size())
		}
		return true, nil
	})
	if err == nil && t.Size() != head {
		err = fmt.Errorf("%w: the journal ends with event %d, and its head is %d", ErrDamaged, t.Size(), head)
	}
	if err != nil {
		return err
	}
	return kv.Put(metaBucket, []byte(headKey), t.appendTo(nil))
}

// parseInfo reads the description of a store of an environment, which is as save
// writes it or damaged.
func parseInfo(b []byte, env Environment) (info Info, err error) {
	if err := json.Unmarshal(b, &info); err != nil {
		return info, fmt.Errorf("%w: read its description: %v", ErrDamaged, err)
	}
	if info.Environment != env {
		return info, fmt.Errorf("%w of the %s environment, but of %s", ErrForeign, env, info.Environment)
	}
	if again, err := json.Marshal(info); err != nil || !bytes.Equal(again, b) || info.Schema < 1 || info.Epoch < 1 || info.Device == "" {
		return info, fmt.Errorf("%w: its description is not as a program writes it", ErrDamaged)
	}
	return info, nil
}

func (l *Layout) save(kv KV) error {
	b, err := json.Marshal(l.info)
	if err != nil {
		return err
	}
	return kv.Put(metaBucket, []byte(infoKey), b)
}

// Info says which store it is.
func (l *Layout) Info() Info { return l.info }

// Read begins a transaction that changes nothing.
func (l *Layout) Read(kv KV) *Tx { return &Tx{layout: l, kv: kv, now: l.now()} }

// Write begins a transaction that changes kv on behalf of cause. The error is
// ErrInvalid for a cause without an actor.
func (l *Layout) Write(kv KV, cause Cause) (*Tx, error) {
	if cause.Actor.Kind == "" {
		return nil, fmt.Errorf("%w: a change needs an actor", ErrInvalid)
	}
	return &Tx{layout: l, kv: kv, now: l.now(), cause: &cause}, nil
}

// now is the time as it is stored: without a monotonic part, in UTC.
func (l *Layout) now() time.Time { return l.clock().Round(0).UTC() }
