package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // schedules hold on a box without files of time zones

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// What a door's policy means where it names nothing.
const (
	DefaultFrames   = 3
	DefaultCoolDown = 5 * time.Second
)

const (
	refreshEvery = 10 * time.Second // the policy is read again
	complainMost = 10 * time.Second // between log lines about frames that fail
)

// Run watches the frames of a camera until ctx ends or the source does, and
// records one decision an encounter: "match" for somebody who may pass, "denied"
// for somebody who may not, "no_match" for a face that stays unknown; and an
// encounter without a decision where a face could not be compared. Who may pass has
// to show that he is alive first, as the policy of the door asks. The dominant
// face is the one that counts; a camera that is a camera.Follower is told where it
// is and how it is lit. Frames that fail are logged and left out. The
// error is ctx's, the source's, or store.ErrNotFound for a door that is not there.
func (s *Service) Run(ctx context.Context, src camera.Source, door DoorConfig) error {
	w := &watch{cfg: door}
	w.follower, _ = src.(camera.Follower)
	for {
		f, err := src.Next(ctx)
		if err != nil {
			return err
		}
		var leave func()
		w.Service, leave = s.enter()
		err = w.frame(ctx, f)
		leave()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrClosed):
			return fmt.Errorf("watch door %s: %w", door.Door, err)
		case err != nil:
			w.complain(f.Time, err)
		}
	}
}

// watch is one camera under way.
type watch struct {
	*Service // as it works at the present frame
	cfg      DoorConfig
	follower camera.Follower // the camera, where it is one
	door     store.Door
	tracker  *tracker
	read     time.Time // when door was
	began    time.Time // a little before the first frame

	failures   int // since the last complaint
	complained time.Time
}

// frame takes one frame through the chain. The networks are asked only for what
// is still open: a face that was decided about costs a detection.
func (w *watch) frame(ctx context.Context, f camera.Frame) error {
	if err := w.refresh(ctx, f.Time); err != nil {
		return err
	}
	faces, err := w.engine.Detect(ctx, f.Image)
	if err != nil {
		return err
	}
	seen := make([]sighting, len(faces))
	for i, face := range faces {
		barred, _ := judge(face, barringFrame)
		seen[i] = sighting{face.Box, words(barred)}
	}
	front, due, gone := w.tracker.see(f.Time, seen)
	if w.follower != nil {
		w.follower.Follow(subjectOf(faces))
	}
	if w.cfg.Saw != nil {
		v := View{Time: f.Time, Frame: f.Image.Rect, Faces: sightsOf(faces, !w.tracker.settled(f.Time))}
		if w.cfg.Door != "" {
			v.Liveness = w.liveness()
		}
		if front != nil {
			front.ask(&v.Faces[0])
		}
		w.cfg.Saw(v)
	}
	for _, tr := range gone {
		if err := w.left(ctx, tr); err != nil {
			return err
		}
	}
	if front != nil && !w.door.Policy.SecondFactor {
		if err := w.look(ctx, f, faces, front, due); err != nil {
			return err
		}
	}
	for _, tr := range w.tracker.tracks {
		if tr.waiting != nil {
			if err := w.prove(ctx, f.Time, tr); err != nil {
				return err
			}
		}
	}
	return nil
}

// look compares the dominant face, if it is due, and keeps of it what may show that
// it is alive.
func (w *watch) look(ctx context.Context, f camera.Frame, faces []engine.Face, tr *track, due bool) error {
	wanted := w.wants(tr, f, faces)
	if !due && !wanted {
		return nil
	}
	g := w.galleries.of(w.cfg.Merchant)
	threshold, size, err := w.identifyThreshold("identify", g, w.door.Policy.FPIR, doorFMR)
	if errors.Is(err, ErrUnsupported) {
		tr.barred[ReasonUnsupported]++
		return nil
	}
	probe, err := w.engine.Embed(ctx, f.Image, faces[0])
	if err != nil {
		return err
	}
	hits := g.Search(probe, 2)
	v := verdictOf(hits, threshold)
	if wanted {
		if err := w.observe(ctx, tr, f, faces[0], probe, v); err != nil {
			return err
		}
	}
	if !due {
		return nil
	}
	d, ok := w.tracker.learn(f.Time, tr, v)
	if !ok {
		return nil
	}
	if d.person != "" {
		g.impostors.note(d.person, hits)
	}
	return w.recognised(ctx, f.Time, tr, d, map[string]float64{
		"similarity": w.cal.Similarity(d.score), "threshold": w.cal.Similarity(threshold), "gallery": float64(size),
		"faces": float64(len(faces)), "frames": float64(d.frames), "seconds": d.took.Seconds()})
}

// decide records a decision. The grants are read in the same transaction, so
// that it answers to the state of the store at its place in the journal.
func (w *watch) decide(ctx context.Context, d decision, counters map[string]float64, life verdictOnLife) error {
	event := store.Event{Kind: store.EventDecision, Action: "identify", Merchant: w.cfg.Merchant, Site: w.door.Site,
		Door: w.cfg.Door, Person: d.person, Counters: counters}
	cause := store.Cause{Actor: actor}
	if d.person != "" {
		cause.Actor = store.Actor{Kind: store.ActorPerson, ID: string(d.person)}
	}
	allow := w.allowWhenFull || w.door.Policy.AllowWhenFull
	err := w.record(ctx, cause, allow, func(tx *store.Tx) (err error) {
		if event.Outcome, event.Reasons, err = w.outcome(tx, d, life); err != nil {
			return err
		}
		if _, err = store.Append(tx, event, nil); err != nil {
			return err
		}
		return w.flag(tx, w.cfg.Merchant, d.two)
	})
	if err != nil {
		return fmt.Errorf("record decision: %w", err)
	}
	return nil
}

// outcome applies the grants, and then what became of the proof of life.
func (w *watch) outcome(tx *store.Tx, d decision, life verdictOnLife) (store.Outcome, []string, error) {
	switch {
	case d.ambiguous:
		return store.OutcomeNoMatch, []string{ReasonAmbiguous}, nil
	case d.person == "":
		return store.OutcomeNoMatch, []string{ReasonUnknown}, nil
	case w.cfg.Door == "":
		return store.OutcomeMatch, []string{ReasonNoLiveness, ReasonNoDoor}, nil
	}
	refusal, err := admission(tx, w.door, d.person)
	if err != nil {
		return "", nil, err
	}
	if refusal != "" {
		return store.OutcomeDenied, []string{refusal}, nil
	}
	outcome, reasons := life.outcome()
	return outcome, reasons, nil
}

// left records an encounter that ended without a decision, unless it was only
// somebody passing by in the background, or with one that waits for a proof of life.
func (w *watch) left(ctx context.Context, tr *track) error {
	if tr.waiting != nil {
		return w.refuse(ctx, tr.last, tr, tr.waiting.away())
	}
	if tr.dominant < w.tracker.frames {
		return nil
	}
	reasons := tr.why()
	if w.door.Policy.SecondFactor {
		reasons = []string{ReasonSecondFactor}
	}
	event := store.Event{Kind: store.EventEncounter, Action: "identify", Merchant: w.cfg.Merchant, Site: w.door.Site, Door: w.cfg.Door,
		Outcome: store.OutcomeFailed, Reasons: reasons, Counters: map[string]float64{"frames": float64(tr.dominant)}}
	err := w.store.Update(ctx, store.Cause{Actor: actor}, func(tx *store.Tx) error {
		_, err := store.Append(tx, event, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("record encounter: %w", err)
	}
	return nil
}

// refresh reads the door from time to time.
func (w *watch) refresh(ctx context.Context, now time.Time) error {
	if w.tracker != nil && now.Sub(w.read) < refreshEvery {
		return nil
	}
	if w.cfg.Door != "" {
		err := w.store.View(ctx, func(tx *store.Tx) (err error) {
			w.door, err = store.GetOf[store.Door](tx, w.cfg.Merchant, w.cfg.Door)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := w.endGap(ctx); err != nil && !errors.Is(err, store.ErrFull) {
		return err
	}
	w.read = now
	r := rules{frames: w.door.Policy.Frames, coolDown: w.door.Policy.CoolDown}
	if r.frames <= 0 {
		r.frames = DefaultFrames
	}
	if r.coolDown <= 0 {
		r.coolDown = DefaultCoolDown
	}
	if w.tracker == nil {
		w.tracker, w.began = newTracker(r), now.Add(-time.Second)
	}
	w.tracker.rules = r
	return nil
}

// complain logs failures of frames, with how many there were since it last did.
func (w *watch) complain(now time.Time, err error) {
	w.failures++
	if !w.complained.IsZero() && now.Sub(w.complained) < complainMost {
		return
	}
	w.log.Error("frame not used", "err", err, "frames", w.failures)
	w.failures, w.complained = 0, now
}

// admission is why a person may not pass a door now, empty where he may.
func admission(tx *store.Tx, door store.Door, p store.PersonID) (refusal string, err error) {
	if stale, err := store.Stale(tx); err != nil || stale {
		return ReasonStale, err
	}
	site, err := store.Get[store.Site](tx, door.Site)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	zone, zoneErr := time.LoadLocation(site.TimeZone)
	if zoneErr != nil {
		zone = time.UTC // for what depends on no time of day
	}
	refusal = ReasonNoGrant
	for g, err := range store.All(tx, store.GrantsByPerson, store.Plain(p), store.Plain(door.ID)) {
		if err != nil {
			return "", err
		}
		switch {
		case zoneErr != nil && len(g.Schedule) > 0:
			refusal = ReasonTimeZone
		case valid(g, tx.Time().In(zone)):
			return "", nil
		default:
			refusal = ReasonNotNow
		}
	}
	return refusal, nil
}

// valid says whether a grant holds at a time, given in the zone of its site.
func valid(g store.Grant, now time.Time) bool {
	if now.Before(g.From) || !g.Until.IsZero() && !now.Before(g.Until) {
		return false
	}
	return len(g.Schedule) == 0 || slices.ContainsFunc(g.Schedule, func(w store.Window) bool { return within(w, now) })
}

// within says whether a time lies in a window; one that ends at or before its
// start goes on into the next day.
func within(w store.Window, now time.Time) bool {
	minute := now.Hour()*60 + now.Minute()
	today, yesterday := now.Weekday(), (now.Weekday()+6)%7
	if w.Start < w.End {
		return slices.Contains(w.Days, today) && minute >= w.Start && minute < w.End
	}
	return slices.Contains(w.Days, today) && minute >= w.Start ||
		slices.Contains(w.Days, yesterday) && minute < w.End
}
