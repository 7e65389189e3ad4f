package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
)

// ActionFull is what the event of a gap says: the disk was full.
const ActionFull = "disk_full"

// gap is what could not be recorded, since the disk was full.
type gap struct {
	Allowed uint64    `json:"allowed"` // decisions that were given all the same
	Denied  uint64    `json:"denied"`  // and those that were not
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
}

func (g *gap) empty() bool { return g.Allowed+g.Denied == 0 }

// gapFileLen is the size of the file that a gap is counted in. It is written when
// it is made, so that counting takes no space.
const gapFileLen = 256

// gaps counts what could not be recorded, and has it recorded once there is room.
// A gap is told again when a cut comes between its event and the end of its
// count; since then tells that it is the same.
type gaps struct {
	log  *slog.Logger
	file *os.File // nil: counted in memory alone

	mu   sync.Mutex // protects the fields below
	open gap
}

// openGaps goes on with the gap in the file at path; an empty path keeps it in
// memory alone.
func openGaps(path string, log *slog.Logger) (*gaps, error) {
	g := &gaps{log: log}
	if path == "" {
		return g, nil
	}
	var err error
	if g.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("open gaps: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(g.file, gapFileLen))
	if err == nil && len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &g.open); err != nil {
			log.Warn("the count of decisions on a full disk is damaged and begins anew", "err", err)
			g.open = gap{}
		}
	}
	if err == nil && len(raw) < gapFileLen {
		err = g.save()
	}
	if err != nil {
		log.Warn("decisions on a full disk are counted in memory alone", "err", err)
		g.file = nil
	}
	return g, nil
}

// save must be called with mu held.
func (g *gaps) save() error {
	if g.file == nil {
		return nil
	}
	b, err := json.Marshal(g.open)
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte{' '}, gapFileLen-len(b))...)
	_, err = g.file.WriteAt(b, 0)
	return errors.Join(err, g.file.Sync())
}

// count notes a decision that was not recorded.
func (g *gaps) count(now time.Time, allowed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.empty() {
		g.open.Since = now.UTC()
	}
	g.open.Until = now.UTC()
	if allowed {
		g.open.Allowed++
	} else {
		g.open.Denied++
	}
	if err := g.save(); err != nil {
		g.log.Error("a decision on a full disk is counted in memory alone", "err", err)
	}
}

// take takes the gap out, for whoever is about to record it.
func (g *gaps) take() gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.open
	g.open = gap{}
	return taken
}

// back puts a gap in again that was not recorded after all.
func (g *gaps) back(taken gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.empty() {
		g.open.Until = taken.Until
	}
	g.open.Since = taken.Since
	g.open.Allowed += taken.Allowed
	g.open.Denied += taken.Denied
}

// told says that what was taken is recorded.
func (g *gaps) told() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.save(); err != nil {
		g.log.Warn("a gap of the journal may be told again", "err", err)
	}
}

func (g *gaps) close() error {
	if g.file == nil {
		return nil
	}
	return g.file.Close()
}

// event is what the journal says of a gap.
func (g gap) event() store.Event {
	return store.Event{Kind: store.EventGap, Action: ActionFull, Outcome: store.OutcomeFailed, Counters: map[string]float64{
		"allowed": float64(g.Allowed), "denied": float64(g.Denied),
		"since": float64(g.Since.Unix()), "until": float64(g.Until.Unix()),
	}}
}

// record runs fn, which records a decision, in a transaction that may use the
// space reserved for when the disk is full. When even that is spent, the decision
// is counted; where allow says so it may be given all the same, and the answer is
// nil.
func (s *Service) record(ctx context.Context, cause store.Cause, allow bool, fn func(*store.Tx) error) error {
	cause.Essential = true
	err := s.endGap(ctx)
	if err == nil {
		err = s.store.Update(ctx, cause, fn)
	}
	if !errors.Is(err, store.ErrFull) {
		return err
	}
	s.gaps.count(time.Now(), allow)
	if allow {
		s.log.Error("a decision was given and not recorded: the disk is full", "err", err)
		return nil
	}
	return err
}

// endGap records what could not be recorded before, if there is anything.
func (s *Service) endGap(ctx context.Context) error {
	missed := s.gaps.take()
	if missed.empty() {
		return nil
	}
	err := s.store.Update(ctx, store.Cause{Actor: actor, Essential: true}, func(tx *store.Tx) error {
		_, err := store.Append(tx, missed.event(), nil)
		return err
	})
	if err != nil {
		s.gaps.back(missed)
		return err
	}
	s.gaps.told()
	return nil
}
