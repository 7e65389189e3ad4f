package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// film drives a tracker at ten frames a second and writes down what happens.
type film struct {
	*testing.T
	*tracker
	now   time.Time
	looks int
	log   []string
}

func newFilm(t *testing.T) *film {
	return &film{T: t, tracker: newTracker(rules{frames: 3, coolDown: 5 * time.Second}), now: time.Unix(1e9, 0)}
}

// role is a face on the film.
type role struct {
	who    store.PersonID // what a comparison says; "" nobody, "?" ambiguous
	x      float64        // of the box
	size   float64        // of the box; 0 means 100
	barred string
}

// shoot plays frames with these faces, the dominant one first.
func (f *film) shoot(frames int, roles ...role) {
	for range frames {
		f.now = f.now.Add(100 * time.Millisecond)
		var faces []sighting
		for _, r := range roles {
			if r.size == 0 {
				r.size = 100
			}
			s := sighting{box: engine.Rect{X0: r.x, Y0: 50, X1: r.x + r.size, Y1: 50 + r.size}}
			if r.barred != "" {
				s.barred = []string{r.barred}
			}
			faces = append(faces, s)
		}
		front, due, gone := f.see(f.now, faces)
		for _, tr := range gone {
			f.log = append(f.log, "gone "+strings.Join(tr.why(), "+"))
		}
		if !due {
			continue
		}
		f.looks++
		v := verdict{person: roles[0].who, score: 0.5 + float64(f.looks)/1000}
		if v.person == "?" {
			v = verdict{ambiguous: true, score: 0.9}
		}
		if d, ok := f.learn(f.now, front, v); ok {
			word := string(d.person)
			if d.ambiguous {
				word = "ambiguous"
			} else if word == "" {
				word = "nobody"
			}
			f.log = append(f.log, fmt.Sprintf("%s after %d in %v", word, d.frames, d.took))
		}
	}
}

func (f *film) want(lines ...string) {
	f.Helper()
	if !slices.Equal(f.log, lines) {
		f.Errorf("happened %q, want %q", f.log, lines)
	}
}

func TestTrackerDecidesOnceAnEncounter(t *testing.T) {
	f := newFilm(t)
	f.shoot(600, role{who: "ada"})
	f.want("ada after 3 in 200ms")
	// A minute of standing there costs one look a second, not ten.
	if f.looks > 65 {
		t.Errorf("%d looks at somebody who is decided about", f.looks)
	}
}

func TestTrackerWaitsForAgreement(t *testing.T) {
	f := newFilm(t)
	for range 4 { // never three of the last six
		f.shoot(1, role{who: "ada"})
		f.shoot(2, role{})
	}
	f.want()
	f.shoot(3, role{who: "ada"})
	f.want("ada after 14 in 1.3s")
}

func TestTrackerIsNotSwayedByContradiction(t *testing.T) {
	f := newFilm(t)
	f.shoot(2, role{who: "ada"})
	f.shoot(1, role{who: "bo"})
	f.shoot(4, role{who: "ada"}) // bo is still among the last six
	f.want()
	f.shoot(2, role{who: "ada"})
	f.want("ada after 9 in 800ms")
}

func TestTrackerCallsAStrangerUnknownOnce(t *testing.T) {
	f := newFilm(t)
	f.shoot(100, role{})
	f.want("nobody after 31 in 3s")
	f.shoot(20) // away, and back within the cool-down
	f.shoot(50, role{x: 20})
	f.want("nobody after 31 in 3s")
	f.shoot(70)
	f.shoot(50, role{})
	f.want("nobody after 31 in 3s", "nobody after 31 in 3s")
}

func TestTrackerTellsAmbiguityFromIgnorance(t *testing.T) {
	f := newFilm(t)
	f.shoot(40, role{who: "?"})
	f.want("ambiguous after 31 in 3s")
}

func TestTrackerCoolsDown(t *testing.T) {
	f := newFilm(t)
	f.shoot(10, role{who: "ada"})
	f.shoot(40)                           // four seconds away
	f.shoot(10, role{who: "ada", x: 500}) // elsewhere in the picture
	f.want("ada after 3 in 200ms")
	f.shoot(60) // six seconds away
	f.shoot(10, role{who: "ada"})
	f.want("ada after 3 in 200ms", "ada after 3 in 200ms")
}

func TestTrackerNoticesAnotherPerson(t *testing.T) {
	f := newFilm(t)
	f.shoot(10, role{who: "ada"})
	f.shoot(20) // two seconds, and somebody else stands in the same place
	f.shoot(10, role{who: "bo"})
	f.want("ada after 3 in 200ms", "bo after 3 in 200ms")
	// Without a gap it takes as many of the looks that are due each second.
	f.shoot(50, role{who: "cleo"})
	f.want("ada after 3 in 200ms", "bo after 3 in 200ms", "cleo after 3 in 2s")
}

func TestTrackerLetsAStrangerBecomeKnown(t *testing.T) {
	f := newFilm(t)
	f.shoot(35, role{})
	f.shoot(30, role{who: "ada"})
	f.want("nobody after 31 in 3s", "ada after 3 in 2s")
}

func TestTrackerLooksAtTheDominantFace(t *testing.T) {
	f := newFilm(t)
	f.shoot(20, role{who: "ada"}, role{who: "bo", x: 300, size: 60})
	f.want("ada after 3 in 200ms")
	f.shoot(5, role{who: "bo", x: 300, size: 120}, role{who: "ada", size: 110})
	f.want("ada after 3 in 200ms", "bo after 3 in 200ms")
}

func TestTrackerFollowsMovement(t *testing.T) {
	f := newFilm(t)
	for i := range 40 { // walks across and comes closer
		f.shoot(1, role{who: "ada", x: float64(20 * i), size: 60 + 4*float64(i)})
	}
	f.want("ada after 3 in 200ms")
	if len(f.tracks) != 1 {
		t.Errorf("%d tracks of one walk", len(f.tracks))
	}
}

// Who walks up to where somebody stood before stays on the track he began.
func TestTrackerKeepsWalkersApartFromThoseWhoLeft(t *testing.T) {
	f := newFilm(t)
	f.shoot(10, role{who: "ada", x: 400})
	f.shoot(20)
	for i := range 20 {
		f.shoot(1, role{x: float64(20 * i)})
	}
	f.shoot(20, role{x: 400})
	f.want("ada after 3 in 200ms", "nobody after 31 in 3s")
}

func TestTrackerReportsWhoLeavesUndecided(t *testing.T) {
	f := newFilm(t)
	f.shoot(10, role{barred: "too_small"})
	f.shoot(2, role{who: "ada"})
	f.shoot(30)
	f.want("gone too_small")
	f.shoot(2, role{who: "ada"})
	f.shoot(30)
	f.want("gone too_small", "gone too_brief")
	if len(f.tracks) != 0 {
		t.Errorf("%d tracks of people who left", len(f.tracks))
	}
}

func TestTrackerSkipsFacesThatCannotBeCompared(t *testing.T) {
	f := newFilm(t)
	f.shoot(20, role{who: "ada", barred: "turned_away"})
	if f.looks != 0 {
		t.Errorf("%d looks at a face that is turned away", f.looks)
	}
	f.shoot(3, role{who: "ada"})
	f.want("ada after 3 in 200ms")
}

func TestTrackerIsBounded(t *testing.T) {
	f := newFilm(t)
	var crowd []role
	for i := range 100 {
		crowd = append(crowd, role{who: "ada", x: float64(i) * 150})
	}
	f.shoot(5, crowd...)
	if len(f.tracks) != maxTracks {
		t.Errorf("%d tracks, want %d", len(f.tracks), maxTracks)
	}
	f.shoot(100)
	if len(f.tracks) != 0 || len(f.known) != 0 {
		t.Errorf("%d tracks and %d people are remembered", len(f.tracks), len(f.known))
	}
}

func TestGrantWindows(t *testing.T) {
	at := func(day, hour, minute int) time.Time { // 2 March 2026 is a Monday
		return time.Date(2026, 3, 1+day, hour, minute, 0, 0, time.UTC)
	}
	office := store.Window{Days: []time.Weekday{time.Monday, time.Tuesday}, Start: 8 * 60, End: 17*60 + 30}
	night := store.Window{Days: []time.Weekday{time.Friday}, Start: 22 * 60, End: 6 * 60}
	always := store.Window{Days: []time.Weekday{time.Sunday}} // from midnight to midnight
	for _, test := range []struct {
		name  string
		grant store.Grant
		now   time.Time
		want  bool
	}{
		{"no schedule", store.Grant{}, at(3, 3, 0), true},
		{"first minute", store.Grant{Schedule: []store.Window{office}}, at(1, 8, 0), true},
		{"last minute", store.Grant{Schedule: []store.Window{office}}, at(1, 17, 29), true},
		{"a minute late", store.Grant{Schedule: []store.Window{office}}, at(1, 17, 30), false},
		{"another day", store.Grant{Schedule: []store.Window{office}}, at(3, 9, 0), false},
		{"second window", store.Grant{Schedule: []store.Window{office, night}}, at(5, 23, 0), true},
		{"after midnight", store.Grant{Schedule: []store.Window{night}}, at(6, 5, 59), true},
		{"night is over", store.Grant{Schedule: []store.Window{night}}, at(6, 6, 0), false},
		{"the morning before", store.Grant{Schedule: []store.Window{night}}, at(5, 5, 0), false},
		{"all day", store.Grant{Schedule: []store.Window{always}}, at(7, 23, 59), true},
		{"the day after", store.Grant{Schedule: []store.Window{always}}, at(8, 0, 0), false},
		{"not yet", store.Grant{From: at(2, 0, 0)}, at(1, 23, 59), false},
		{"begins", store.Grant{From: at(2, 0, 0)}, at(2, 0, 0), true},
		{"ends", store.Grant{Until: at(2, 0, 0)}, at(2, 0, 0), false},
	} {
		if got := valid(test.grant, test.now); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
