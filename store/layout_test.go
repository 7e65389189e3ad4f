package store

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestPrepare(t *testing.T) {
	m := newMemory()
	first := prepare(t, m, nil).Info()
	if again := prepare(t, m, nil).Info(); again != first || first.Device == "" || first.Epoch != 1 || first.Environment != Sandbox {
		t.Errorf("prepared as %+v and then as %+v", first, again)
	}
	if _, err := Prepare(m, Options{Environment: Production}); !errors.Is(err, ErrForeign) {
		t.Errorf("the sandbox in production: error %v, want ErrForeign", err)
	}
	if _, err := Prepare(newMemory(), Options{}); err == nil {
		t.Error("prepared a store of no environment")
	}
}

func TestPrepareRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		description string
		want        error
	}{
		"newer":      {`{"environment":"sandbox","device":"d","epoch":1,"schema":99}`, ErrNewer},
		"no schema":  {`{"environment":"sandbox","device":"d","epoch":1}`, ErrDamaged},
		"no device":  {`{"environment":"sandbox","epoch":1,"schema":1}`, ErrDamaged},
		"not JSON":   {`{`, ErrDamaged},
		"other kind": {`[]`, ErrDamaged},
		"no place":   {`{"schema":1,"device":"d"}`, ErrForeign},
	} {
		m := newMemory()
		m.Put(metaBucket, []byte(infoKey), []byte(tt.description))
		if _, err := Prepare(m, Options{Environment: Sandbox}); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
}

func TestMigrate(t *testing.T) {
	var taken []int
	steps := []func(*Layout, KV) error{
		func(*Layout, KV) error { taken = append(taken, 1); return nil },
		func(_ *Layout, kv KV) error { taken = append(taken, 2); return kv.Put("new", []byte("k"), []byte("v")) },
	}
	m := newMemory()
	l := prepare(t, m, nil)
	l.info.Schema = 1
	if err := l.migrate(m, steps); err != nil || !slices.Equal(taken, []int{1, 2}) {
		t.Errorf("took steps %v, %v", taken, err)
	}
	var saved Info
	if err := json.Unmarshal(m.buckets[metaBucket][infoKey], &saved); err != nil || saved.Schema != 3 {
		t.Errorf("saved %+v, %v, want schema 3", saved, err)
	}
	if err := l.migrate(m, steps); err != nil || len(taken) != 2 {
		t.Errorf("took steps %v the second time, %v", taken, err)
	}
	l.info.Schema = 1
	if err := l.migrate(&memory{}, []func(*Layout, KV) error{func(*Layout, KV) error { return errFull }}); !errors.Is(err, errFull) {
		t.Errorf("a step that fails: error %v", err)
	}
	if err := l.migrate(m, nil); err != nil {
		t.Errorf("schema 1 where 1 is known: %v", err)
	}
}

// TestStoredTime: what is written has no monotonic part and no zone of its own.
func TestStoredTime(t *testing.T) {
	zone := time.FixedZone("far", 3600)
	at := time.Now().In(zone)
	m := newMemory()
	l, err := Prepare(m, Options{Environment: Sandbox, Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, m, func(tx *Tx) error {
		e, err := Append(tx, Event{Kind: EventDoor, Time: at}, nil)
		if tx.Time() != at.Round(0).UTC() || e.Time != tx.Time() {
			t.Errorf("times %v and %v, want %v", tx.Time(), e.Time, at.Round(0).UTC())
		}
		return err
	})
}

// TestHalfDone lets each put of an Update fail in turn, and its function ignore
// that: the transaction must not succeed.
func TestHalfDone(t *testing.T) {
	const many = 1000
	run := func(puts int) (used int, err error) {
		m := newMemory()
		l := prepare(t, m, nil)
		tx, err := l.Write(m, testCause)
		if err != nil {
			t.Fatal(err)
		}
		m.puts = puts
		_ = Put(tx, &Person{ID: "p", Merchant: "m", Email: "e"})
		_, _ = Append(tx, Event{Kind: EventDecision, Person: "p"}, "name")
		_, err = tx.Finish()
		return puts - m.puts, err
	}
	total, err := run(many)
	if err != nil || total < 10 {
		t.Fatalf("%d puts, %v", total, err)
	}
	for n := range total {
		if _, err := run(n); !errors.Is(err, errFull) {
			t.Errorf("put %d fails: error %v, want %v", n, err, errFull)
		}
	}
}
