package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
)

// A change of the pack goes like this. Both packs are loaded. The old space
// answers as before, and is complete: whoever is enrolled meanwhile gets a
// template in either. In the background everybody is embedded in the new space
// from his crops. When nobody is missing there, one transaction makes the new
// space the one that answers; then the templates of the old one are removed, and
// its networks let go. Until that transaction, choosing the old pack again takes
// everything back. The record store.Migration says which space answers, so that
// a restart anywhere goes on.
//
// Who has no crop that can be used holds up the switch: he is listed, and answers
// in the old space, until he is enrolled again or the operator finishes without
// him. Nobody's last template is ever removed.

// Stages of a Migration.
const (
	StageNone      = "none"      // one space, and nothing to do
	StageEmbedding = "embedding" // the space to come is being filled
	StageWaiting   = "waiting"   // it is, but for people who have to be enrolled again
	StageRemoving  = "removing"  // the switch is made, or taken back; templates that are needed no more go
)

// Migration says how the change from one pack to another stands.
type Migration struct {
	Stage string
	Pack  string // that answers
	Space string
	// To and ToSpace are the pack to come, empty where there is none.
	To, ToSpace string
	// Incomplete says that the space which answers lacks people who have crops: a
	// search may miss them. It is so where the old pack is not there any more.
	Incomplete bool
	People     int // enrolled
	Done       int // of them, with a template of the pack to come, or of the one that answers where none is
	Left       int // that have to be enrolled again; see Service.Left
	Rate       float64
	Remaining  time.Duration // at that rate; 0: not known
	Begun      time.Time     // of the last change
	Decided    time.Time     // it was switched or cancelled
}

// migrating is what a service needs to change its space.
type migrating struct {
	changing sync.Mutex    // held while the space that answers is decided about
	woken    chan struct{} // there may be something to do
	stage    struct {
		sync.Mutex
		record store.Migration // as last written or read
	}
}

func (m *migrating) init() { m.woken = make(chan struct{}, 1) }

func (m *migrating) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

func (m *migrating) note(rec store.Migration) {
	m.stage.Lock()
	defer m.stage.Unlock()
	m.stage.record = rec
}

func (m *migrating) noted() store.Migration {
	m.stage.Lock()
	defer m.stage.Unlock()
	return m.stage.record
}

// The actions of the events of a change of the pack.
const (
	ActionBegin  = "migration_begin"
	ActionSwitch = "migration_switch" // everybody is in the new space
	ActionFinish = "migration_finish" // the operator left some behind; the counter left says how many
	ActionCancel = "migration_cancel"
	ActionEnd    = "migration_end" // the templates of the other space are removed
)

// change changes the record of the migration, with an event of it, in one
// transaction. do says whether there is anything to change.
func (s *Service) change(ctx context.Context, cause store.Cause, action string, counters map[string]float64, do func(m *store.Migration, now time.Time) bool) error {
	var rec store.Migration
	err := s.store.Update(ctx, cause, func(tx *store.Tx) error {
		var err error
		rec, err = store.Get[store.Migration](tx, store.TheMigration)
		if errors.Is(err, store.ErrNotFound) {
			rec, err = store.Migration{ID: store.TheMigration}, nil
		}
		if err != nil || !do(&rec, tx.Time()) {
			return err
		}
		if err := store.Put(tx, &rec); err != nil {
			return err
		}
		_, err = store.Append(tx, store.Event{Kind: store.EventSystem, Action: action, Outcome: store.OutcomeDone,
			Reasons: []string{rec.From, rec.To}, Counters: counters}, nil)
		return err
	})
	if err == nil && rec.Rev > 0 {
		s.note(rec)
	}
	return err
}

// settle brings the record in step with what the box wants when it starts.
// Where nobody ever changed the pack there is no record, and none is needed.
func (s *Service) settle(ctx context.Context, answers, want string) error {
	err := s.store.View(ctx, func(tx *store.Tx) error {
		rec, err := store.Get[store.Migration](tx, store.TheMigration)
		s.note(rec)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.next == nil && answers != want {
		s.log.Warn("the pack that people were embedded with is not there: a search finds nobody until he is embedded anew", "space", answers, "to", want)
	}
	return s.direct(ctx, store.Cause{Actor: actor}, answers, want)
}

// direct notes where people are to go from the space that answers.
func (s *Service) direct(ctx context.Context, cause store.Cause, answers, want string) error {
	rec := s.noted()
	switch under := rec.Stage == store.MigrationEmbedding; {
	case want == answers && under:
		return s.change(ctx, cause, ActionCancel, nil, func(m *store.Migration, now time.Time) bool {
			m.Cancel(now)
			return true
		})
	case want != answers && !(under && rec.To == want):
		return s.change(ctx, cause, ActionBegin, map[string]float64{"people": float64(s.serving.galleries.people())},
			func(m *store.Migration, now time.Time) bool {
				m.Begin(answers, want, now)
				return true
			})
	}
	return nil
}

// Use has the box recognise people with a pack: it begins a change to it, or
// takes back the one under way where p is the pack that answers. The service
// takes p over, and releases it where it has that space already.
func (s *Service) Use(ctx context.Context, cause store.Cause, p Pack) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	sp := newSpace(s.store, p, s.log)
	s.mu.RLock()
	serving, next := s.serving, s.next
	s.mu.RUnlock()
	switch {
	case next != nil && sp.id() == next.id():
		sp.retire()
		return nil
	case sp.id() == serving.id():
		sp.retire()
		sp = nil
	}
	// Who is enrolled once the record says so is embedded in both: the space has
	// to be there before.
	s.put(serving, sp)
	if sp != nil {
		if err := sp.galleries.load(ctx); err != nil {
			s.put(serving, next)
			sp.retire()
			return fmt.Errorf("load galleries: %w", err)
		}
	}
	want := serving.id()
	if sp != nil {
		want = sp.id()
	}
	if err := s.direct(ctx, cause, serving.id(), want); err != nil {
		s.put(serving, next)
		if sp != nil {
			sp.retire()
		}
		return fmt.Errorf("change the pack: %w", err)
	}
	if next != nil {
		next.retire()
	}
	s.wake()
	return nil
}

// put sets the spaces.
func (s *Service) put(serving, next *space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving, s.next = serving, next
}

// Errors of Finish.
var (
	ErrNoMigration = errors.New("no change of the pack is under way")
	ErrUnfinished  = errors.New("people are still being embedded")
)

// Finish switches to the pack to come without those who cannot be embedded; it
// returns how many they are. They are found by no search then, until they are
// enrolled again or the old pack is chosen again.
func (s *Service) Finish(ctx context.Context, cause store.Cause) (left int, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.RLock()
	next := s.next
	s.mu.RUnlock()
	if next == nil {
		return 0, ErrNoMigration
	}
	missing, _, err := s.in(next).withoutTemplate(ctx)
	if err != nil {
		return 0, err
	}
	behind := map[store.PersonID]bool{}
	for _, l := range next.progress.left() {
		behind[l.Person] = true
	}
	for _, m := range missing {
		if !behind[m.person] {
			return 0, ErrUnfinished
		}
	}
	return len(missing), s.switchOver(ctx, cause, ActionFinish, len(missing))
}

// switchOver makes the space to come the one that answers: durably, and then for
// the calls to come. It waits for those under way. The caller holds changing.
func (s *Service) switchOver(ctx context.Context, cause store.Cause, action string, left int) error {
	s.mu.RLock()
	serving, next := s.serving, s.next
	s.mu.RUnlock()
	to := serving // where the old pack is gone
	if next != nil {
		to = next
	}
	people := float64(to.galleries.people())
	switched := false
	err := s.change(ctx, cause, action, map[string]float64{"people": people, "left": float64(left)}, func(m *store.Migration, now time.Time) bool {
		switched = m.Stage == store.MigrationEmbedding && m.To == to.id()
		if switched {
			m.Switch(left, now)
		}
		return switched
	})
	if err != nil || !switched {
		return err
	}
	s.log.Info("people are recognised with the new pack from now on", "pack", to.pack, "people", int(people), "left", left)
	if next != nil {
		s.put(next, nil)
		serving.retire()
	}
	s.wake()
	return nil
}

// Left lists who has to be enrolled again: for the pack to come, or where none is
// for the one that answers.
func (s *Service) Left() []Left {
	in, leave := s.hold()
	defer leave()
	return in.filled().progress.left()
}

// filled is the space that is being filled.
func (s *Service) filled() *space {
	if s.beside != nil {
		return s.beside
	}
	return s.space
}

// Migration says how the change of the pack stands.
func (s *Service) Migration() Migration {
	in, leave := s.hold()
	defer leave()
	rec := s.noted()
	m := Migration{Stage: StageNone, Pack: in.pack, Space: in.id(), Begun: rec.Begun, Decided: rec.Decided}
	in.filled().progress.report(&m)
	open := m.People - m.Done - m.Left
	switch {
	case in.beside != nil:
		m.To, m.ToSpace, m.Stage = in.beside.pack, in.beside.id(), StageEmbedding
		if in.beside.progress.known() && open == 0 && m.Left > 0 {
			m.Stage = StageWaiting
		}
	case open > 0 || rec.Stage == store.MigrationEmbedding:
		m.Stage, m.Incomplete = StageEmbedding, open > 0
		if open <= 0 && m.Left > 0 {
			m.Stage = StageWaiting
		}
	case len(rec.Drop) > 0:
		m.Stage = StageRemoving
	}
	return m
}

// Keep makes the templates that are missing and goes on with the change of the
// pack, for as long as ctx lasts: in the background, and only while nobody waits
// for an answer. It runs at the priority of everything else: a thread of a lower one
// that is not let run holds up the whole program at each collection of its memory.
func (s *Service) Keep(ctx context.Context) error {
	var told time.Time
	for {
		err := s.round(ctx)
		if errors.Is(err, errLeaving) {
			s.wake()
		} else if err != nil && ctx.Err() == nil && time.Since(told) > complainEvery {
			s.log.Warn("not everybody is embedded", "err", err)
			told = time.Now()
		}
		pause := idlePause
		if err != nil || s.Migration().Stage != StageNone {
			pause = roundPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(roundLeast):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-time.After(pause):
		}
	}
}

const (
	// roundPause is how soon it is looked again while something is left to do, and
	// idlePause otherwise; who is known to lack a template has it looked at once,
	// but not more often than roundLeast.
	roundPause = 30 * time.Second
	idlePause  = 10 * time.Minute
	roundLeast = 200 * time.Millisecond
	// complainEvery is how often the same failure is logged.
	complainEvery = 10 * time.Minute
)

// round does what there is to do now.
func (s *Service) round(ctx context.Context) error {
	in, leave := s.hold()
	failed, err := in.fill(ctx, nil)
	if err == nil && in.beside != nil {
		failed, err = s.in(in.beside).fill(ctx, nil)
	}
	leave()
	if err != nil {
		return err
	}
	if failed == 0 {
		if err := s.trySwitch(ctx, in.filled()); err != nil {
			return err
		}
	}
	return s.clean(ctx)
}

// trySwitch switches over to a space in which nobody was missing, if that is
// still where people are to go and nobody came without a template since.
func (s *Service) trySwitch(ctx context.Context, filled *space) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if rec := s.noted(); rec.Stage != store.MigrationEmbedding || rec.To != filled.id() {
		return nil
	}
	missing, _, err := s.in(filled).withoutTemplate(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		s.wake() // and again
		return nil
	}
	return s.switchOver(ctx, store.Cause{Actor: actor}, ActionSwitch, 0)
}

// errLeaving: the space is wanted no more.
var errLeaving = errors.New("the change of the pack is taken back")

// A batch of templates goes into one transaction: it costs one sync of the disk,
// and a cut costs no more than that many people's work.
const (
	batchPeople = 16
	batchTime   = 2 * time.Second
)

// fill makes the missing templates of the space. failed counts those for whom it
// could not; the error is that of the whole.
func (s *Service) fill(ctx context.Context, told func(done, total int)) (failed int, err error) {
	missing, enrolled, err := s.withoutTemplate(ctx)
	if err != nil {
		return 0, fmt.Errorf("find people to embed anew: %w", err)
	}
	s.progress.begin(enrolled, missing)
	if len(missing) > 0 {
		s.log.Info("people are being embedded anew", "pack", s.pack, "people", len(missing), "of", enrolled)
	}
	var batch []*remade
	began := time.Now()
	flush := func() error {
		err := s.putBatch(ctx, batch)
		batch, began = nil, time.Now()
		return err
	}
	for i, who := range missing {
		if s.leaving.Load() {
			return failed, errLeaving
		}
		s.pace.wait(ctx)
		r, err := s.remake(ctx, who)
		switch {
		case ctx.Err() != nil:
			return failed, errors.Join(ctx.Err(), s.putBatch(context.WithoutCancel(ctx), batch))
		case err != nil:
			failed++
			s.progress.failed(who, err)
			s.log.Debug("person not embedded anew", "person", who.person, "err", err)
		default:
			batch = append(batch, r)
		}
		if len(batch) >= batchPeople || time.Since(began) > batchTime {
			if err := flush(); err != nil {
				return failed, err
			}
		}
		if told != nil {
			told(i+1, len(missing))
		}
	}
	if failed > 0 {
		s.log.Warn("people have to be enrolled again", "pack", s.pack, "people", failed, "hint", "cypherface models status lists them")
	}
	return failed, flush()
}

// putBatch stores templates.
func (s *Service) putBatch(ctx context.Context, batch []*remade) error {
	if len(batch) == 0 {
		return nil
	}
	err := s.store.Update(ctx, store.Cause{Actor: actor}, func(tx *store.Tx) error {
		for _, r := range batch {
			if err := r.put(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.progress.did(len(batch))
	}
	return err
}

// cleanBatch is how many templates are removed in a transaction.
const cleanBatch = 64

// clean removes the templates of spaces that are left, of people who have one in
// the space that answers.
func (s *Service) clean(ctx context.Context) error {
	rec := s.noted()
	if len(rec.Drop) == 0 {
		return nil
	}
	removed := 0
	for _, space := range rec.Drop {
		n, err := s.drop(ctx, space, rec.Serving())
		if removed += n; err != nil {
			return fmt.Errorf("remove templates of space %s: %w", space, err)
		}
	}
	err := s.change(ctx, store.Cause{Actor: actor, Essential: true}, ActionEnd, map[string]float64{"removed": float64(removed)},
		func(m *store.Migration, _ time.Time) bool {
			if m.Rev != rec.Rev {
				return false // changed since; the next round goes on
			}
			m.Drop = nil
			return true
		})
	if err == nil {
		s.log.Info("the templates of the other pack are removed", "templates", removed)
	}
	return err
}

// drop removes templates of one space, of people who have another in serving.
func (s *Service) drop(ctx context.Context, space, serving string) (removed int, err error) {
	var merchants []store.MerchantID
	err = s.store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			merchants = append(merchants, m.ID)
		}
		return nil
	})
	for _, m := range merchants {
		for cursor, more := store.Cursor(""), true; more && err == nil; {
			s.pace.wait(ctx)
			var n int
			n, cursor, err = s.dropPage(ctx, m, space, serving, cursor)
			removed += n
			more = cursor != ""
		}
	}
	return removed, err
}

func (s *Service) dropPage(ctx context.Context, m store.MerchantID, space, serving string, at store.Cursor) (removed int, next store.Cursor, err error) {
	err = s.store.Update(ctx, store.Cause{Actor: actor, Essential: true}, func(tx *store.Tx) error {
		removed, next = 0, ""
		page, err := store.List(tx, store.TemplatesBySpace, store.Query[store.Template]{
			Prefix: []store.Term{store.Plain(m), store.Plain(space)}, Cursor: at, Limit: cleanBatch})
		if err != nil {
			return err
		}
		next = page.Next
		for _, t := range page.Items {
			_, err := store.Get[store.Template](tx, store.NewTemplateID(t.Person, serving))
			if errors.Is(err, store.ErrNotFound) {
				continue // his last one
			} else if err != nil {
				return err
			}
			if err := store.Delete[store.Template](tx, t.ID); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	return removed, next, err
}
