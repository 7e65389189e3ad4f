package store

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// parseEvent is json.Unmarshal for an event, and as strict. What json.Marshal makes of
// nearly all events it reads in a fraction of the time: each event of each box is read
// on its way into the central.
func parseEvent(raw []byte, e *Event) error {
	r := eventReader{rest: string(raw)}
	*e = r.event()
	if r.odd || r.rest != "" {
		*e = Event{}
		return json.Unmarshal(raw, e)
	}
	return nil
}

// eventReader reads the JSON of an event, its fields in the order of Event, its words
// without escapes or letters beyond ASCII. Anything else is odd.
type eventReader struct {
	rest string // shared by all words
	odd  bool
}

func (r *eventReader) event() (e Event) {
	r.must(`{"device":`)
	e.Device = word[DeviceID](r)
	r.must(`,"epoch":`)
	e.Epoch = r.number()
	r.must(`,"seq":`)
	e.Seq = r.number()
	r.must(`,"time":`)
	e.Time = r.moment()
	r.must(`,"kind":`)
	e.Kind = word[EventKind](r)
	r.must(`,"actor":{"kind":`)
	e.Actor.Kind = word[ActorKind](r)
	e.Actor.ID = wordIf[string](r, `,"id":`)
	r.must(`}`)
	e.Request = wordIf[string](r, `,"request":`)
	e.Merchant = wordIf[MerchantID](r, `,"merchant":`)
	e.Site = wordIf[SiteID](r, `,"site":`)
	e.Door = wordIf[DoorID](r, `,"door":`)
	e.Person = wordIf[PersonID](r, `,"person":`)
	e.Session = wordIf[SessionID](r, `,"session":`)
	e.Action = wordIf[string](r, `,"action":`)
	e.Outcome = wordIf[Outcome](r, `,"outcome":`)
	e.Reasons = r.words(`,"reasons":[`)
	e.Counters = r.counters()
	e.Change = r.change()
	if r.has(`,"personal":`) {
		digest, err := base64.StdEncoding.DecodeString(r.text())
		e.Personal, r.odd = digest, r.odd || err != nil
	}
	r.must(`}`)
	return e
}

func (r *eventReader) counters() map[string]float64 {
	if !r.has(`,"counters":{`) {
		return nil
	}
	all := make(map[string]float64, 4)
	for more := true; more; more = r.has(`,`) {
		name := r.text()
		r.must(`:`)
		all[name] = r.float()
	}
	r.must(`}`)
	return all
}

func (r *eventReader) change() *Change {
	if !r.has(`,"change":{"kind":`) {
		return nil
	}
	c := &Change{Kind: word[Kind](r)}
	r.must(`,"id":`)
	c.ID = r.text()
	r.must(`,"op":`)
	c.Op = word[Op](r)
	r.must(`,"rev":`)
	c.Rev = r.number()
	c.Fields = r.words(`,"fields":[`)
	r.must(`}`)
	return c
}

// has takes what comes next, if it is s.
func (r *eventReader) has(s string) bool {
	rest, ok := strings.CutPrefix(r.rest, s)
	r.rest = rest
	return ok
}

func (r *eventReader) must(s string) { r.odd = !r.has(s) || r.odd }

// take takes the next n bytes.
func (r *eventReader) take(n int) string {
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func word[S ~string](r *eventReader) S { return S(r.text()) }

func wordIf[S ~string](r *eventReader, name string) (s S) {
	if r.has(name) {
		s = word[S](r)
	}
	return s
}

func (r *eventReader) words(begin string) (all []string) {
	if !r.has(begin) {
		return nil
	}
	for more := true; more; more = r.has(`,`) {
		all = append(all, r.text())
	}
	r.must(`]`)
	return all
}

func (r *eventReader) text() string {
	r.must(`"`)
	for i := range len(r.rest) {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.take(i)
			r.take(1)
			return s
		case c < ' ' || c == '\\' || c > '~':
			r.odd = true
			return ""
		}
	}
	r.odd = true
	return ""
}

// moment is a time as time.Time has it in JSON.
func (r *eventReader) moment() (t time.Time) {
	before := r.rest
	s := r.text()
	if r.odd || t.UnmarshalJSON([]byte(before[:len(s)+2])) != nil {
		r.odd = true
	}
	return t
}

func (r *eventReader) digits() string {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	return r.take(n)
}

// whole is a number without sign, point and exponent.
func (r *eventReader) whole() string {
	s := r.digits()
	r.odd = r.odd || s == "" || s[0] == '0' && len(s) > 1
	return s
}

func (r *eventReader) number() uint64 {
	n, err := strconv.ParseUint(r.whole(), 10, 64)
	r.odd = r.odd || err != nil
	return n
}

func (r *eventReader) float() float64 {
	before := r.rest
	r.has(`-`)
	r.whole()
	if r.has(`.`) && r.digits() == "" {
		r.odd = true
	}
	if r.has(`e`) || r.has(`E`) {
		if !r.has(`-`) {
			r.has(`+`)
		}
		r.odd = r.digits() == "" || r.odd
	}
	f, err := strconv.ParseFloat(before[:len(before)-len(r.rest)], 64)
	r.odd = r.odd || err != nil
	return f
}
