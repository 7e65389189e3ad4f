package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/store"
)

// Who is recognised at a door has still to show that he is alive, as its policy asks.
// A passive proof is judged on the latest frames of the face, most of which are there
// when it is recognised. An active one begins then: the door asks for the moves of a
// challenge, one after the other, and judges the frames since. A proof is good for the
// one decision that waits for it, about that person on that track, in that moment.
const (
	passiveEvery    = 250 * time.Millisecond // between frames that are kept, as the score was calibrated
	passiveLeast    = 1500 * time.Millisecond
	passiveMost     = 2400 * time.Millisecond // older frames say nothing
	passivePatience = 4 * time.Second         // for so much of the face, at rest

	activeEvery   = 300 * time.Millisecond
	challengeTime = 18 * time.Second // for all moves: liveness.MaxFrames of them
)

// waiting is a decision that somebody is recognised, with what is still to be shown.
type waiting struct {
	decision
	counters  map[string]float64
	since     time.Time
	challenge liveness.Asking // of nothing: a passive proof
}

func (w *waiting) active() bool { return len(w.challenge.Asked()) > 0 }

// proofFrame is a frame of a face, and who it is by that frame alone.
type proofFrame struct {
	liveness.Frame
	verdict
}

// verdictOnLife is what became of a proof. The zero value: none was asked for.
type verdictOnLife struct {
	mode    store.DoorLiveness
	refused bool
	reasons []string // why, besides ReasonNoLiveness
}

// liveness is the proof of life that the camera's place asks for.
func (w *watch) liveness() store.DoorLiveness {
	if w.cfg.Door == "" {
		return store.LivenessOff // it decides about nothing
	}
	return w.door.Policy.Asks()
}

// wants says whether a frame belongs into the proof of its dominant face.
func (w *watch) wants(tr *track, f camera.Frame, faces []engine.Face) bool {
	if tr.lapsed {
		return false
	}
	every := passiveEvery
	switch w.liveness() {
	case store.LivenessPassive:
		if tr.decided && !tr.doubtful && tr.waiting == nil {
			return false
		}
	case store.LivenessActive:
		if tr.waiting == nil || len(tr.proof) >= liveness.MaxFrames {
			return false
		}
		every = activeEvery
	default:
		return false
	}
	face, ambiguous, _ := engine.Dominant(faces)
	barred, _ := judge(face, barringProbe)
	return !ambiguous && len(barred) == 0 && f.Time.Sub(tr.observed) >= every
}

// observe adds a frame to the proof of a track.
func (w *watch) observe(ctx context.Context, tr *track, f camera.Frame, face engine.Face, probe engine.Template, v verdict) error {
	if space := w.engine.Space(); tr.space != space {
		tr.proof, tr.space = nil, space // templates of two spaces are not alike
		if tr.waiting != nil {
			tr.waiting.challenge = liveness.Ask(tr.waiting.challenge.Asked())
		}
	}
	at := f.Time.Sub(w.began)
	tr.observed = f.Time
	frame := liveness.Observe(f.Image, face, probe, at)
	var before *liveness.Frame
	if n := len(tr.proof); n > 0 {
		before = &tr.proof[n-1].Frame
	}
	if err := frame.Ask(ctx, w.engine, f.Image, face, before); err != nil {
		return err
	}
	if tr.waiting == nil || !tr.waiting.active() {
		if before != nil && !liveness.Rests(before, &frame) {
			tr.proof = nil // it walks still
		}
		tr.proof = append(tr.proof, proofFrame{frame, v})
		tr.proof = slices.DeleteFunc(tr.proof, func(p proofFrame) bool { return at-p.At > passiveMost })
		return nil
	}
	tr.proof = append(tr.proof, proofFrame{frame, v})
	tr.waiting.challenge.See(frame)
	if n, yes := tr.waiting.challenge.Arriving(); yes {
		tr.proof = tr.proof[max(0, len(tr.proof)-n):]
	}
	return nil
}

// frames are those of the proof as engine/liveness wants them.
func (tr *track) frames() []liveness.Frame {
	all := make([]liveness.Frame, len(tr.proof))
	for i := range tr.proof {
		all[i] = tr.proof[i].Frame
	}
	return all
}

// recognised makes a decision, or has it wait for the proof that the door asks for.
// Whom nobody lets
// through is asked for nothing, nor who is locked.
func (w *watch) recognised(ctx context.Context, now time.Time, tr *track, d decision, counters map[string]float64) error {
	if tr.waiting != nil {
		if err := w.refuse(ctx, now, tr, ReasonOtherFace); err != nil {
			return err
		}
	}
	tr.refused = false
	mode := w.liveness()
	if d.person == "" || mode == store.LivenessOff {
		return w.decide(ctx, d, counters, verdictOnLife{})
	}
	var refusal string
	var barred bool
	err := w.store.View(ctx, func(tx *store.Tx) (err error) {
		if refusal, err = admission(tx, w.door, d.person); err == nil {
			barred, err = locked(tx, w.cfg.Merchant, d.person)
		}
		return err
	})
	switch {
	case err != nil || refusal != "":
		return w.decide(ctx, d, counters, verdictOnLife{mode: mode, refused: true}) // which looks again
	case barred:
		return w.decide(ctx, d, counters, verdictOnLife{mode: mode, refused: true, reasons: []string{ReasonLocked}})
	}
	tr.waiting = &waiting{decision: d, counters: counters, since: now}
	if mode == store.LivenessActive {
		tr.proof, tr.observed = nil, time.Time{}
		tr.waiting.challenge = liveness.Ask(liveness.NewChallenge(w.chance))
	}
	return nil
}

// prove decides about a track that waits, once its proof is complete or its time over.
func (w *watch) prove(ctx context.Context, now time.Time, tr *track) error {
	wait := tr.waiting
	waited := now.Sub(wait.since)
	switch {
	case tr.lapsed:
		return w.refuse(ctx, now, tr, wait.away())
	case wait.active():
		if waited > challengeTime {
			return w.refuse(ctx, now, tr, ReasonTimeout)
		}
		if _, open := wait.challenge.Next(); open || len(tr.proof) < liveness.MinActiveFrames || !liveness.Straight(&tr.proof[len(tr.proof)-1].Frame) {
			return nil
		}
	default:
		var span time.Duration
		if n := len(tr.proof); n > 0 {
			span = tr.proof[n-1].At - tr.proof[0].At
		}
		if (span < passiveLeast || len(tr.proof) < liveness.MinFrames) && waited < passivePatience {
			return nil
		}
	}
	v := liveness.Default().Judge(tr.frames(), wait.challenge.Asked(), w.likeness())
	reasons := make([]string, len(v.Reasons))
	for i, r := range v.Reasons {
		reasons[i] = string(r)
	}
	if !shows(tr.proof, wait.person) && !slices.Contains(reasons, ReasonOtherFace) {
		reasons = append(reasons, ReasonOtherFace)
	}
	wait.counters["confidence"], wait.counters["proofFrames"] = v.Score, float64(len(tr.proof))
	if len(tr.proof) > 0 {
		countVote(wait.counters, &v)
	}
	return w.proven(ctx, now, tr, reasons)
}

// away is what it is called when somebody goes away before his proof is complete. Who
// does once he knows what is asked for has failed: he might come again and again until
// he likes the challenge.
func (w *waiting) away() string {
	if _, arriving := w.challenge.Arriving(); w.active() && !arriving {
		return ReasonChallenge
	}
	return ReasonTooBrief
}

// shows reports whether frames are of a person: at least half of those that look
// into the camera name him, and none names somebody else.
func shows(frames []proofFrame, p store.PersonID) bool {
	straight, named := 0, 0
	for i := range frames {
		switch f := &frames[i]; {
		case !liveness.Straight(&f.Frame):
			continue
		case f.person == p:
			named++
		case f.person != "":
			return false
		}
		straight++
	}
	return named > 0 && 2*named >= straight
}

// refuse ends a proof that was not given.
func (w *watch) refuse(ctx context.Context, now time.Time, tr *track, reason string) error {
	return w.proven(ctx, now, tr, []string{reason})
}

// proven makes the decision that waited; reasons, if there are any, are why nobody
// alive was seen.
func (w *watch) proven(ctx context.Context, now time.Time, tr *track, reasons []string) error {
	wait := tr.waiting
	tr.waiting, tr.proof, tr.lapsed, tr.refused = nil, nil, false, len(reasons) > 0
	mode := store.LivenessPassive
	if wait.active() {
		mode = store.LivenessActive
	}
	counters := maps.Clone(wait.counters)
	counters["seconds"] += now.Sub(wait.since).Seconds()
	if err := w.decide(ctx, wait.decision, counters, verdictOnLife{mode, len(reasons) > 0, reasons}); err != nil {
		return fmt.Errorf("decide on life: %w", err)
	}
	return nil
}

// outcome is what a decision about somebody who may pass comes to.
func (v verdictOnLife) outcome() (store.Outcome, []string) {
	switch {
	case v.refused:
		return store.OutcomeDenied, append([]string{ReasonNoLiveness}, v.reasons...)
	case v.mode == store.LivenessActive:
		return store.OutcomeMatch, []string{ReasonAliveActive}
	case v.mode == store.LivenessPassive:
		return store.OutcomeMatch, []string{ReasonAlivePassive}
	}
	return store.OutcomeMatch, []string{ReasonNoLiveness}
}
