// Package audit keeps the journal of a store for years, and proves it.
//
//	log, err := audit.Open(ctx, audit.Config{Store: s, Dir: audit.Dir(data, env), Days: 365})
//	go log.Run(ctx)                            // checkpoints, periods, retention
//	page, err := log.List(ctx, audit.Query{Merchant: m, Kinds: kinds})
//	report, err := log.Verify(ctx, audit.VerifyOptions{})
//	proof, err := log.Prove(ctx, epoch, seq)   // VerifyProof holds it against a key
//	err = log.Export(ctx, w, audit.ExportOptions{})  // VerifyExport does
//
// # The log
//
// The events of an epoch are the leaves of a Merkle tree (RFC 6962, section 2.1),
// which the store carries on in the transaction that appends them. A leaf is the
// event's public envelope, as JSON: ids, words, numbers, times, and the digest of
// nonce and personal part. What tells about a person can be erased and the tree
// still stands.
//
// A checkpoint is a signed note (golang.org/x/mod/sumdb/note; the text is that of
// the C2SP's tlog-checkpoint) over the number of events and the root. The box signs
// one after 1024 events, after five minutes in which there were any, and when it
// stops, and keeps them all. Who has a checkpoint from elsewhere, as
// from an export, can tell whether the box has rewritten what was before it. Who
// has none cannot: root on a box that was never asked for one can sign another
// history.
//
// # Periods
//
// Events older than the present day (UTC), and the oldest of very many, move into
// files, one for each period, sealed as the store is, compressed and never changed
// again:
//
//	EPOCH-FIRST.period   blocks of 256 events with their hashes, and an index
//	EPOCH.checkpoints    a signed note a line, as JSON strings
//
// A period's record in the store keeps the roots of its part of the tree, so that
// retention can drop the file and all else can still be proven. Personal parts
// stay sealed with the keys of their people, wherever they lie.
//
// # What it does not do
//
// It sends nothing anywhere and asks nobody for permission.
package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	ErrDropped = errors.New("the events were dropped by retention")
	ErrNoEvent = errors.New("there is no such event")
	ErrUntrue  = errors.New("not true to the log") // of checkpoints, proofs and exports
)

// Dir is where the log of an environment lies below the data folder.
func Dir(data string, env store.Environment) string { return filepath.Join(data, string(env), "audit") }

// Config is what a Log is made of. Store and Dir are required.
type Config struct {
	Store store.Store
	Dir   string // is made where it is missing
	Days  int    // periods whose events are all older are dropped; 0: none ever
	Log   *slog.Logger
	Clock func() time.Time

	// PeriodEvents is the most that one period holds; 0 means 65,536.
	PeriodEvents int
}

// A Log is the journal of a store with what has left the store. It is safe for
// concurrent use; only one may be open for a store.
type Log struct {
	Config
	sealer store.Sealer
	signer note.Signer
	key    string // that signatures are verified with

	newest atomic.Pointer[Signed]

	mu    sync.Mutex // held by whoever changes files
	notes *notes     // of the present epoch
}

const secretSignature store.SecretName = "audit-signature"

// Moving and dropping events makes room.
var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "audit"}, Essential: true}

// Open opens the log of a store, and completes what a cut has left undone. A store
// that is behind its last checkpoint, as an older copy is, is told to the log of
// the program and to the journal.
func Open(ctx context.Context, c Config) (*Log, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.PeriodEvents <= 0 {
		c.PeriodEvents = 1 << 16
	}
	l := &Log{Config: c}
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	seed, err := l.seed(ctx)
	if err != nil {
		return err
	}
	info := l.Store.Info()
	if l.signer, l.key, err = newSigner(Name(info.Environment, info.Device), seed); err != nil {
		return err
	}
	if l.notes, err = openNotes(l.notesPath(info.Epoch)); err != nil {
		return err
	}
	if err := l.recover(ctx); err != nil {
		return errors.Join(err, l.notes.close())
	}
	if err := l.compareLast(ctx); err != nil {
		return errors.Join(err, l.notes.close())
	}
	return nil
}

// seed reads the secret of the signatures, and makes it the first time.
func (l *Log) seed(ctx context.Context) (seed []byte, err error) {
	read := func(tx *store.Tx) error {
		s, err := store.Get[store.Secret](tx, secretSignature)
		seed = s.Value
		l.sealer = tx.Sealer()
		return err
	}
	err = l.Store.View(ctx, read)
	if !errors.Is(err, store.ErrNotFound) {
		return seed, err
	}
	return seed, l.Store.Update(ctx, cause, func(tx *store.Tx) error {
		if err := read(tx); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		seed = make([]byte, 32)
		_, _ = rand.Read(seed) // never fails
		return store.Put(tx, &store.Secret{Name: secretSignature, Value: seed})
	})
}

// recover removes what cuts have left: files that no record knows, and files of
// periods that were dropped.
func (l *Log) recover(ctx context.Context) error {
	known := map[string]bool{}
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.Periods) {
			if err != nil {
				return err
			}
			known[periodName(p.ID)] = p.Dropped.IsZero()
		}
		return nil
	})
	if err != nil {
		return err
	}
	files, err := os.ReadDir(l.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := f.Name()
		if !strings.HasSuffix(strings.TrimSuffix(name, draftSuffix), periodSuffix) {
			continue
		}
		if known[name] {
			delete(known, name)
			continue
		}
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name, wanted := range known {
		if wanted {
			l.Log.Error("a period of the audit log is missing", "file", filepath.Join(l.Dir, name), "hint", "put it back from a backup; cypherface audit verify says what it held")
		}
	}
	return nil
}

// compareLast holds the journal against the last checkpoint.
func (l *Log) compareLast(ctx context.Context) error {
	if l.notes.last == "" {
		return nil
	}
	was, err := ParseCheckpoint(l.notes.last, l.key)
	if err != nil {
		l.Log.Error("the last checkpoint of the audit log is not signed by this box", "err", err)
		return nil
	}
	tree, err := l.tree(ctx)
	if err == nil && was.Size == tree.Size() && was.Root == tree.Root() {
		l.newest.Store(&Signed{was, tree})
		return nil
	}
	if err != nil || was.Size < tree.Size() {
		return err
	}
	l.Log.Error("the store is not the one that the last checkpoint was signed over: an older copy was put back, or events were removed",
		"events", tree.Size(), "signed", was.Size, "hint", "cypherface audit verify")
	return l.Store.Update(ctx, cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventSystem, Action: "rollback", Outcome: store.OutcomeFailed,
			Counters: map[string]float64{"events": float64(tree.Size()), "signed": float64(was.Size)}}, nil)
		return err
	})
}

// Key is what signatures of the log are verified with: NAME+HASH+KEY, the form of
// golang.org/x/mod/sumdb/note. Auditors keep a copy.
func (l *Log) Key() string { return l.key }

// tree returns the tree of the present epoch.
func (l *Log) tree(ctx context.Context) (t store.Tree, err error) {
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		t, err = store.JournalTree(tx)
		return err
	})
	return t, err
}

// Intervals of Run.
const (
	tickEvery        = 15 * time.Second
	checkpointAfter  = 5 * time.Minute
	checkpointEvents = 1024
)

// Run signs checkpoints, moves events into periods and drops old ones, until ctx
// ends. What fails is logged and tried again.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if err := l.Tend(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("tend the audit log", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Tend does what is due.
func (l *Log) Tend(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.checkpointDue(ctx), l.archiveDue(ctx), l.drop(ctx))
}

// Close signs a last checkpoint, if there is something new.
func (l *Log) Close() error {
	_, err := l.Checkpoint(context.Background())
	return errors.Join(err, l.notes.close())
}
