package verify_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// reel is a camera of ten frames a second that plays images and then ends. Its
// time runs as fast as it is read.
type reel struct {
	images []*image.YCbCr
	every  time.Duration // between frames; 0: a tenth of a second
	at     int
	before map[int]func() // runs before a frame
	late   time.Duration  // by how much time jumped
}

func (r *reel) Next(ctx context.Context) (camera.Frame, error) {
	if fn := r.before[r.at]; fn != nil {
		fn()
	}
	if r.at == len(r.images) {
		return camera.Frame{}, io.EOF
	}
	if r.every == 0 {
		r.every = 100 * time.Millisecond
	}
	r.at++
	return camera.Frame{Image: r.images[r.at-1], Seq: uint64(r.at), Time: time.Unix(1e9, 0).Add(time.Duration(r.at)*r.every + r.late)}, ctx.Err()
}

func (r *reel) Close() error { return nil }

func (r *reel) shoot(frames int, looks ...look) *reel {
	r.images = append(r.images, slices.Repeat([]*image.YCbCr{picture(looks...)}, frames)...)
	return r
}

// pause is a while without frames.
func (r *reel) pause(d time.Duration) *reel {
	r.before = map[int]func(){len(r.images): func() { r.late = d }}
	return r
}

// play runs a reel at a door and returns what was recorded, as
// "outcome person reasons".
func (b *box) play(door store.DoorID, r *reel) []string {
	b.Helper()
	return b.watch(door, r, nil)
}

// watch runs any camera at a door; saw is told of each frame.
func (b *box) watch(door store.DoorID, src camera.Source, saw func(verify.View)) []string {
	b.Helper()
	had := len(b.events(store.EventDecision)) + len(b.events(store.EventEncounter))
	err := b.Service.Run(b.Context(), src, verify.DoorConfig{Merchant: b.merchant, Door: door, Saw: saw})
	if !errors.Is(err, io.EOF) {
		b.Fatalf("Run: %v", err)
	}
	events := append(b.events(store.EventDecision), b.events(store.EventEncounter)...)
	slices.SortFunc(events, func(a, b store.Event) int { return int(a.Seq) - int(b.Seq) })
	var lines []string
	for _, e := range events[had:] {
		if e.Door != door || e.Action != "identify" || e.Counters["frames"] < 3 {
			b.Errorf("event %+v", e)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Outcome, e.Person, strings.Join(e.Reasons, "+"))))
	}
	return lines
}

func (b *box) want(got []string, want ...string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("recorded %q, want %q", got, want)
	}
}

// door makes a door with a site, and grants for these people. It asks for no proof of
// life, unless the policy names one.
func (b *box) door(p store.DoorPolicy, grants ...store.Grant) store.DoorID {
	b.Helper()
	site := store.Site{ID: store.NewID[store.SiteID](time.Now()), Merchant: b.merchant, TimeZone: "Asia/Tokyo"}
	put(b, &site)
	if p.Liveness == "" {
		p.Liveness = store.LivenessOff // its faces are no pictures
	}
	d := store.Door{ID: store.NewID[store.DoorID](time.Now()), Merchant: b.merchant, Site: site.ID, Policy: p}
	put(b, &d)
	for _, g := range grants {
		g.ID, g.Merchant, g.Door = store.NewID[store.GrantID](time.Now()), b.merchant, d.ID
		put(b, &g)
	}
	return d.ID
}

func TestRunDecidesOnceAnEncounter(t *testing.T) {
	b := newBox(t)
	ada, bo := b.person(1), b.person(2)
	got := b.play("", new(reel).shoot(5).shoot(20, look{who: 1}).shoot(20).shoot(20, look{who: 2}).shoot(20).shoot(40, look{who: 9}).shoot(20))
	b.want(got, "match "+string(ada)+" no_liveness+no_door", "match "+string(bo)+" no_liveness+no_door", "no_match  unknown_face")
	first := b.events(store.EventDecision)[0]
	if c := first.Counters; c["frames"] != 3 || c["gallery"] != 2 || c["faces"] != 1 || c["similarity"] < c["threshold"] || c["seconds"] > 1 {
		t.Errorf("counters %v", c)
	}
	if first.Actor.Kind != store.ActorPerson || first.Actor.ID != string(ada) {
		t.Errorf("actor %+v", first.Actor)
	}
}

func TestRunEmbedsOnlyWhatIsOpen(t *testing.T) {
	b := newBox(t)
	b.person(1)
	before := b.engine.calls.embed.Load()
	b.play("", new(reel).shoot(10, look{who: 1, reason: blurred}).shoot(50, look{who: 1}))
	if n := b.engine.calls.embed.Load() - before; n < 3 || n > 3+5 {
		t.Errorf("%d embeddings for 50 good frames, want 3 to 8", n)
	}
}

func TestRunAsksForAGrant(t *testing.T) {
	b := newBox(t)
	ada, bo, cleo := b.person(1), b.person(2), b.person(3)
	past := time.Now().Add(-time.Hour)
	door := b.door(store.DoorPolicy{}, store.Grant{Person: ada}, store.Grant{Person: bo, Until: past})
	b.door(store.DoorPolicy{}, store.Grant{Person: cleo}) // another door
	r := new(reel)
	for who := byte(1); who <= 3; who++ {
		r.shoot(5, look{who: who}).shoot(20)
	}
	b.want(b.play(door, r), "match "+string(ada)+" no_liveness", "denied "+string(bo)+" outside_schedule", "denied "+string(cleo)+" no_grant")
}

func TestRunReadsSchedulesInTheZoneOfTheSite(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Skip("no time zone data on this machine")
	}
	now := time.Now().In(tokyo)
	minute := now.Hour()*60 + now.Minute()
	hour := store.Window{Days: []time.Weekday{now.Weekday()}, Start: max(minute-30, 0), End: min(minute+30, 24*60)}
	door := b.door(store.DoorPolicy{}, store.Grant{Person: ada, Schedule: []store.Window{hour}})
	b.want(b.play(door, new(reel).shoot(5, look{who: 1})), "match "+string(ada)+" no_liveness")
}

// A zone that nobody knows leaves schedules closed, and the rest as it was.
func TestRunWithAnUnknownZone(t *testing.T) {
	b := newBox(t)
	ada, bo := b.person(1), b.person(2)
	always := store.Window{Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}}
	door := b.door(store.DoorPolicy{}, store.Grant{Person: ada}, store.Grant{Person: bo, Schedule: []store.Window{always}})
	b.update(func(tx *store.Tx) error {
		d, err := store.Get[store.Door](tx, door)
		if err != nil {
			return err
		}
		site, err := store.Get[store.Site](tx, d.Site)
		site.TimeZone = "Middle/Earth"
		return errors.Join(err, store.Put(tx, &site))
	})
	got := b.play(door, new(reel).shoot(5, look{who: 1}).shoot(20).shoot(5, look{who: 2}).shoot(20))
	b.want(got, "match "+string(ada)+" no_liveness", "denied "+string(bo)+" time_zone")
}

func TestRunRecordsWhoCannotBeCompared(t *testing.T) {
	b := newBox(t)
	b.person(1)
	got := b.play("", new(reel).shoot(10, look{who: 1, reason: turnedAway}).shoot(20).shoot(2, look{who: 1}).shoot(20))
	b.want(got, "failed  turned_away") // two frames of a face are nobody's encounter
}

func TestRunDoesNotDecideBetweenLookAlikes(t *testing.T) {
	b := newBox(t)
	b.person(1)
	b.person(2)
	b.want(b.play("", new(reel).shoot(40, look{who: 1, also: 2})), "no_match  ambiguous")
}

func TestRunHoldsThePolicyOfTheDoor(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	grant := store.Grant{Person: ada}
	for _, test := range []struct {
		name   string
		policy store.DoorPolicy
		look   look
		want   string
	}{
		{"more frames", store.DoorPolicy{Frames: 12}, look{who: 1}, ""},
		{"strict", store.DoorPolicy{FPIR: 1e-5}, look{who: 1, like: 55}, ""},
		{"careless", store.DoorPolicy{FPIR: 1e-2}, look{who: 1, like: 35}, "match " + string(ada) + " no_liveness"},
		{"impossible", store.DoorPolicy{FPIR: 1e-9}, look{who: 1}, "failed  error_rate"},
		{"second factor", store.DoorPolicy{SecondFactor: true}, look{who: 1}, "failed  second_factor"},
	} {
		got := b.play(b.door(test.policy, grant), new(reel).shoot(10, test.look).shoot(20))
		if len(got) > 0 && got[0] == "failed  too_brief" {
			got = nil // not decided within the second it was there
		}
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%s: recorded %q, want %q", test.name, got, test.want)
		}
	}
}

func TestRunTakesUpChanges(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	door := b.door(store.DoorPolicy{Frames: 1000}, store.Grant{Person: ada})
	r := new(reel).shoot(300, look{who: 1})
	r.before = map[int]func(){50: func() {
		b.update(func(tx *store.Tx) error {
			d, err := store.Get[store.Door](tx, door)
			d.Policy.Frames = 3
			return errors.Join(err, store.Put(tx, &d))
		})
	}}
	got := b.play(door, r)
	b.want(got, "match "+string(ada)+" no_liveness")

	b.update(func(tx *store.Tx) error { return store.Delete[store.Door](tx, door) })
	err := b.Service.Run(t.Context(), new(reel).shoot(1), verify.DoorConfig{Merchant: b.merchant, Door: door})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("at a door that is gone: %v", err)
	}
}

func TestRunOutlivesFramesThatFail(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	r := new(reel).shoot(100, look{who: 1})
	r.before = map[int]func(){
		1:  func() { b.engine.fail = errors.New("out of memory") },
		50: func() { b.engine.fail = nil },
	}
	b.want(b.play("", r), "match "+string(ada)+" no_liveness+no_door")
	if n := strings.Count(b.log.String(), "out of memory"); n != 1 {
		t.Errorf("complained %d times in five seconds, want once", n)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := new(reel).shoot(100, look{who: 1})
	r.before = map[int]func(){20: cancel}
	if err := b.Service.Run(ctx, r, verify.DoorConfig{Merchant: b.merchant}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// Who is recognised at a door that asks for turns, and makes none, is denied with the
// reason, whatever becomes of him; whom nobody lets through is asked for nothing.
func TestRunDeniesWhoShowsNoLife(t *testing.T) {
	b := newBox(t)
	ada, bo := b.person(1), b.person(2)
	active := b.door(store.DoorPolicy{Liveness: store.LivenessActive}, store.Grant{Person: ada})
	passive := b.door(store.DoorPolicy{Liveness: store.LivenessPassive}, store.Grant{Person: ada})
	old := b.door(store.DoorPolicy{}, store.Grant{Person: ada})
	b.update(func(tx *store.Tx) error { // as a program wrote it that knew no liveness
		d, err := store.Get[store.Door](tx, old)
		d.Policy.Liveness = ""
		return errors.Join(err, store.Put(tx, &d))
	})
	for _, tt := range []struct {
		name  string
		door  store.DoorID
		reel  *reel
		want  string
		first liveness.Move // that is asked for
	}{
		{"stands still", active, new(reel).shoot(300, look{who: 1}), "denied " + string(ada) + " no_liveness+timeout", liveness.Center},
		{"a door of before", old, new(reel).shoot(300, look{who: 1}), "denied " + string(ada) + " no_liveness+timeout", liveness.Center},
		{"leaves", active, new(reel).shoot(30, look{who: 1}).shoot(30), "denied " + string(ada) + " no_liveness+challenge", liveness.Center},
		{"is away for a moment", active, new(reel).shoot(30, look{who: 1}).pause(2*time.Second).shoot(5, look{who: 1}), "denied " + string(ada) + " no_liveness+challenge", liveness.Center},
		{"is away while it comes to rest", active, new(reel).shoot(5, look{who: 1}).pause(2*time.Second).shoot(5, look{who: 1}), "denied " + string(ada) + " no_liveness+too_brief", liveness.Center},
		{"may not pass", active, new(reel).shoot(300, look{who: 2}), "denied " + string(bo) + " no_grant", ""},
		{"is still", passive, new(reel).shoot(60, look{who: 1}), "denied " + string(ada) + " no_liveness+no_movement+repeated_frame+attack", ""},
	} {
		var first liveness.Move
		got := b.watch(tt.door, tt.reel, func(v verify.View) {
			if len(v.Faces) > 0 && first == "" {
				first = v.Faces[0].Move
			}
		})
		if len(got) == 0 || got[0] != tt.want || first != tt.first {
			t.Errorf("%s: recorded %q, want %q; asked for %q", tt.name, got, tt.want, first)
		}
	}
	e := b.events(store.EventDecision)[0]
	if c := e.Counters; c["seconds"] < 15 || c["similarity"] < c["threshold"] {
		t.Errorf("counters %v", c)
	}
}

// Who fails again and again at doors is locked for a while, and not asked any more.
func TestRunLocksWhoFails(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	door := b.door(store.DoorPolicy{Liveness: store.LivenessPassive}, store.Grant{Person: ada})
	fails := func() string { return b.play(door, new(reel).shoot(60, look{who: 1}).shoot(20))[0] }
	for range 5 {
		if got := fails(); strings.Contains(got, "locked") {
			t.Fatal(got)
		}
	}
	if got, want := fails(), "denied "+string(ada)+" no_liveness+locked"; got != want {
		t.Errorf("recorded %q, want %q", got, want)
	}
	b.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, b.merchant)
		m.Policy.LockAfter = 6
		return errors.Join(err, store.Put(tx, &m))
	})
	if got := fails(); strings.Contains(got, "locked") {
		t.Errorf("six are allowed: %q", got)
	}
	if got := fails(); !strings.Contains(got, "locked") {
		t.Errorf("after the sixth: %q", got)
	}
}
