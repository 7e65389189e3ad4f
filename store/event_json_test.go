package store

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// fullEvent has a value in each field.
func fullEvent() Event {
	return Event{
		Device: "8d1f7f7e-3c52-4f3a-9a44-0f6f3a1c2b4d", Epoch: 3, Seq: 18446744073709551615, Time: time.Date(2026, 11, 26, 8, 30, 1, 250, time.UTC),
		Kind: EventDecision, Actor: Actor{ActorSystem, "door"}, Request: "r-1", Merchant: "m", Site: "s", Door: "d", Person: "p", Session: "x",
		Action: "identify", Outcome: OutcomeMatch, Reasons: []string{"a", "b"},
		Counters: map[string]float64{"similarity": 93.25, "tiny": -1.5e-9, "huge": 1e+21, "none": 0},
		Change:   &Change{Kind: KindPerson, ID: "p", Op: OpPut, Rev: 7, Fields: []string{"email"}}, Personal: []byte{1, 2, 3, 255},
	}
}

// TestParseEventKnowsAllFields fails when Event gets a field that the reader passes on
// to encoding/json.
func TestParseEventKnowsAllFields(t *testing.T) {
	e := fullEvent()
	for _, v := range []reflect.Value{reflect.ValueOf(e), reflect.ValueOf(*e.Change), reflect.ValueOf(e.Actor)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s has no value in the test", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	raw, err := json.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	r := eventReader{rest: string(raw)}
	if got := r.event(); r.odd || r.rest != "" || !reflect.DeepEqual(got, e) {
		t.Errorf("%s is read as\n%+v, odd %v, and %q is left", raw, got, r.odd, r.rest)
	}
}

// FuzzParseEvent holds it against encoding/json.
func FuzzParseEvent(f *testing.F) {
	full := fullEvent()
	least := Event{Device: "d", Epoch: 1, Seq: 1, Kind: EventSystem}
	foreign := Event{Device: "Größe", Kind: EventSystem, Action: "<&>\"\\", Reasons: []string{""}}
	for _, e := range []*Event{&full, &least, &foreign} {
		raw, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, s := range []string{
		`{"device":"d","epoch":01}`, `{"device":"d","epoch":1,"seq":1,"time":"x"}`, `null`, `{}`, ``,
		`{"device":"d","epoch":1,"seq":1,"time":"2026-11-26T08:30:01Z","kind":"k","actor":{"kind":"a"},"counters":{"a":1.,"b":-}}`,
		`{"device":"d","epoch":1,"seq":1,"time":"2026-11-26T08:30:01Z","kind":"k","actor":{"kind":"a"},"counters":{"a":1e999}}`,
		`{"device":"d","epoch":1,"seq":1,"time":"2026-11-26T08:30:01Z","kind":"k","actor":{"kind":"a"},"counters":{"a":1,"a":2}}`,
		`{"device":"d","epoch":1,"seq":1,"time":"2026-11-26T08:30:01Z","kind":"k","actor":{"kind":"a"},"personal":"AQI"}`,
		`{"device":"d","epoch":1,"seq":1,"time":"2026-11-26T08:30:01Z","kind":"k","actor":{"kind":"a"},"reasons":[]} `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got, want Event
		gotErr, wantErr := parseEvent(raw, &got), json.Unmarshal(raw, &want)
		if (gotErr == nil) != (wantErr == nil) || wantErr == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as\n%+v, %v; want\n%+v, %v", raw, got, gotErr, want, wantErr)
		}
	})
}

func BenchmarkParseEvent(b *testing.B) {
	e := fullEvent()
	raw, err := json.Marshal(&e)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			var e Event
			if err := json.Unmarshal(raw, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			var e Event
			if err := parseEvent(raw, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
