package verify

import (
	"math"
	"slices"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// The rules of an encounter that no policy changes.
const (
	lostAfter  = 1500 * time.Millisecond // unseen for so long, somebody has left
	patience   = 3 * time.Second         // of looking before somebody is called unknown
	recheck    = time.Second             // between looks at somebody who is decided about
	maxTracks  = 16                      // faces that are followed at a time
	sameShare  = 0.2                     // overlap of two boxes that makes them one face, from frame to frame
	nearShare  = 0.6                     // … or distance of their centres, in box widths
	walkSpeed  = 2.0                     // … and so many more for each second between the frames
	nearMost   = 1.8                     // … but never more than this
	growthRate = 1.8                     // … of boxes no more different in width than this
)

// rules are the policy of a door as the tracker needs it.
type rules struct {
	frames   int           // agreeing frames that make a decision
	coolDown time.Duration // out of sight for so long, somebody counts as new
}

// window is how many of the latest frames may contribute the agreeing ones.
func (r rules) window() int { return 2 * r.frames }

// sighting is a face in a frame.
type sighting struct {
	box    engine.Rect
	barred []string // reasons why this face cannot be compared now
}

// tracker follows faces over frames and decides who they are. It is a pure step
// function: see and learn are told the time, and nothing happens between them.
//
//	front, due, gone := t.see(now, faces) // once a frame, the dominant face first
//	if due { d, ok := t.learn(now, front, verdict) }
//
// One encounter is one face from its first sight until it is out of sight for
// the cool-down, and ends in at most one decision. A face that turns out to be
// somebody else begins another encounter.
type tracker struct {
	rules
	tracks []*track
	// known says until when somebody counts as dealt with, on whatever track.
	known map[store.PersonID]time.Time
}

// track is one face.
type track struct {
	box      engine.Rect
	last     time.Time      // seen
	dominant int            // frames in which it was the dominant face
	barred   map[string]int // of them, by the reason why it could not be compared

	evidence []verdict // the latest, at most a window of them
	looks    int       // verdicts since since
	since    time.Time // of the first verdict of this encounter
	looked   time.Time

	decided  bool
	person   store.PersonID // decided to be; empty: unknown
	doubtful bool           // decided, but was out of sight since
	told     bool           // that it is gone

	waiting  *waiting     // a decision, for a proof of life
	proof    []proofFrame // the frames that show it
	space    string       // of their templates
	observed time.Time    // the last of them
	lapsed   bool         // it was out of sight while a decision waited
	refused  bool         // the last decision was that nobody alive was seen
}

// decision is the end of an encounter's question.
type decision struct {
	person    store.PersonID // empty: nobody known
	score     float64        // best of the agreeing frames; of all frames for nobody
	frames    int            // that were compared
	took      time.Duration  // from the first comparison
	ambiguous bool           // why nobody: several people fit
	two       lookAlikes     // whom one of the frames fits, if one does
}

func newTracker(r rules) *tracker {
	return &tracker{rules: r, known: map[store.PersonID]time.Time{}}
}

// see takes the faces of a frame, the dominant one first. front is the track of
// the dominant face, nil where there is none; due says that it should be compared
// now, with learn told the result. gone are the encounters that ended without a
// decision.
func (t *tracker) see(now time.Time, faces []sighting) (front *track, due bool, gone []*track) {
	free := slices.Clone(t.tracks)
	for i, f := range faces {
		tr := t.follow(&free, f.box, now)
		if tr == nil {
			break // more faces than are followed
		}
		if i > 0 {
			continue
		}
		front = tr
		tr.dominant++
		for _, r := range f.barred {
			tr.barred[r]++
		}
		due = len(f.barred) == 0 && (!tr.decided || tr.doubtful || now.Sub(tr.looked) >= recheck)
	}
	return front, due, t.forget(now)
}

// follow finds the track of a box among those that are free, or begins one.
func (t *tracker) follow(free *[]*track, box engine.Rect, now time.Time) *track {
	best, at := 0.0, -1
	for i, tr := range *free {
		between := now.Sub(tr.last)
		s := likeness(tr.box, box, between)
		if s > 0 && between <= lostAfter {
			s += 2 // a face that is in sight goes before one that left
		}
		if s > best {
			best, at = s, i
		}
	}
	var tr *track
	switch {
	case at >= 0:
		tr = (*free)[at]
		*free = slices.Delete(*free, at, at+1)
		if now.Sub(tr.last) > lostAfter {
			// Who came back must prove again who he is.
			tr.doubtful, tr.evidence, tr.looks = tr.decided, nil, 0
			tr.proof, tr.lapsed = nil, tr.waiting != nil
		}
	case len(t.tracks) == maxTracks:
		return nil
	default:
		tr = &track{barred: map[string]int{}}
		t.tracks = append(t.tracks, tr)
	}
	tr.box, tr.last = box, now
	if tr.decided && !tr.doubtful && tr.person != "" {
		t.known[tr.person] = now.Add(t.coolDown)
	}
	return tr
}

// likeness says how well two boxes fit as one face, seen with some time between:
// 0 not at all, up to 2.
func likeness(a, b engine.Rect, between time.Duration) float64 {
	reach := min(nearShare+walkSpeed*between.Seconds(), nearMost)
	grown := a.Width() / b.Width()
	ca, cb := a.Center(), b.Center()
	apart := math.Hypot(ca.X-cb.X, ca.Y-cb.Y) / max(a.Width(), b.Width())
	over := a.Overlap(b)
	if over < sameShare && (apart > reach || grown > growthRate || grown < 1/growthRate) {
		return 0
	}
	return 1 + over - apart/4
}

// settled reports whether a face that is seen now was decided about.
func (t *tracker) settled(now time.Time) bool {
	return slices.ContainsFunc(t.tracks, func(tr *track) bool { return tr.last.Equal(now) && tr.decided && !tr.doubtful })
}

// forget drops the tracks that were out of sight for the cool-down, and returns
// those that are gone and were not decided about.
func (t *tracker) forget(now time.Time) (gone []*track) {
	for _, tr := range t.tracks {
		if now.Sub(tr.last) > lostAfter && (tr.waiting != nil || !tr.decided && !tr.told) {
			tr.told = true
			gone = append(gone, tr)
		}
	}
	t.tracks = slices.DeleteFunc(t.tracks, func(tr *track) bool {
		unseen := now.Sub(tr.last)
		return unseen > max(t.coolDown, lostAfter) || unseen > lostAfter && !tr.decided
	})
	for p, until := range t.known {
		if now.After(until) {
			delete(t.known, p)
		}
	}
	return gone
}

// learn adds what a comparison of the track's face said. ok is true when that
// makes a decision.
func (t *tracker) learn(now time.Time, tr *track, v verdict) (d decision, ok bool) {
	if tr.looks == 0 {
		tr.since = now
	}
	tr.looks++
	tr.looked = now
	tr.evidence = append(tr.evidence, v)
	if extra := len(tr.evidence) - t.window(); extra > 0 {
		tr.evidence = slices.Delete(tr.evidence, 0, extra)
	}
	if p := t.agreed(tr); p != "" {
		return t.settle(now, tr, p)
	}
	if tr.decided && !tr.doubtful || tr.looks < t.frames || now.Sub(tr.since) < patience {
		return decision{}, false
	}
	return t.settle(now, tr, "")
}

// agreed is the person whom enough of the latest frames name, and nobody else.
func (t *tracker) agreed(tr *track) store.PersonID {
	votes := map[store.PersonID]int{}
	for _, v := range tr.evidence {
		votes[v.person]++
	}
	delete(votes, "")
	if len(votes) != 1 {
		return ""
	}
	for p, n := range votes {
		if n >= t.frames {
			return p
		}
	}
	return ""
}

// settle makes the decision that a track shows p, unless that was decided
// before.
func (t *tracker) settle(now time.Time, tr *track, p store.PersonID) (decision, bool) {
	d := decision{person: p, score: -1, frames: tr.looks, took: now.Sub(tr.since)}
	ambiguous := 0
	for _, v := range tr.evidence {
		if v.person == p {
			d.score = max(d.score, v.score)
		}
		if v.ambiguous {
			ambiguous++
		}
		if v.two.other != "" {
			d.two = v.two
		}
	}
	d.ambiguous = p == "" && 2*ambiguous >= len(tr.evidence)
	again := tr.decided && tr.person == p
	if p != "" {
		if until, dealt := t.known[p]; dealt && !now.After(until) {
			again = true
		}
		t.known[p] = now.Add(t.coolDown)
	}
	tr.decided, tr.person, tr.doubtful = true, p, false
	tr.evidence, tr.looks = nil, 0
	return d, !again
}

// why are the reasons of an encounter that ended without a decision.
func (tr *track) why() []string {
	var reasons []string
	for r, n := range tr.barred {
		if 2*n >= tr.dominant {
			reasons = append(reasons, r)
		}
	}
	slices.Sort(reasons)
	if len(reasons) == 0 {
		reasons = []string{ReasonTooBrief}
	}
	return reasons
}
