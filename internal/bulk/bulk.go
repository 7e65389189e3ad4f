// Package bulk enrols many people at once, out of an archive that was uploaded.
//
//	q, err := bulk.Open(bulk.Config{Store: st, Enroller: service, Dir: dir})
//	go q.Run(ctx)
//	job, err := q.Add(ctx, cause, bulk.Request{Merchant: m}, archive)
//	p, err := q.Progress(ctx, m, job.ID)
//	for item, err := range q.Report(ctx, m, job.ID) { … }
//
// An archive is a ZIP with a table of people (*.csv) and the pictures it names, or
// with a folder of pictures for each person, or a picture for each. It is kept
// beside the store until the work ends, sealed with a key that only the store has,
// and nothing of it is ever unpacked to the disk.
//
// Each person is enrolled in one transaction with the note that he was: a restart
// goes on where the work stood, and nobody is enrolled twice, nor is anybody who was
// erased meanwhile enrolled again. A picture that cannot be used stops nothing: the
// report names it, why, and what would help.
//
// People also go from one box to another without a central: Export writes them, sealed
// to the other box and signed by this one, and a Request with Import takes them in, in
// the same way.
//
// A check enrols nobody, and so keeps the templates in memory until its end, to compare
// the people of the upload with each other; a restart has it begin anew.
//
// What it does not do: enrolling changes nobody's fields, and it does not guess who
// somebody is from his face; a face that is enrolled already is suspected, noted and
// left to an operator, as everywhere.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// enroller is what is wanted of verify.Service.
type enroller interface {
	Enrol(context.Context, verify.EnrolRequest) (verify.Enrolment, error)
	Twins(context.Context, store.MerchantID, *verify.Batch) ([]verify.Twin, error)
}

// Config is what a Queue is made of.
type Config struct {
	Store    store.Store
	Enroller enroller
	Dir      string // for uploads; made where it is not there
	// Valid says which field of a person is not well formed, and what is wrong; nil
	// takes everybody.
	Valid func(*store.Person) (field, issue string)
	Log   *slog.Logger // nil discards
	// MaxUpload is how many bytes an upload may have; 0: 4 GiB.
	MaxUpload int64
	// Workers is how many people are enrolled at once; 0: two for each core.
	Workers int
}

// Limits of a queue.
const (
	maxUpload = 4 << 30
	// spare is what an upload leaves free on the disk.
	spare = 256 << 20
	// Keep is how long a bulk enrolment can be asked about after its end.
	Keep = 30 * 24 * time.Hour
	// maxRunning is how many uploads of a merchant may wait for their work.
	maxRunning = 4
)

// Errors of a Queue, beside ErrArchive, ErrTable, ErrParcel and those of the store.
var (
	ErrTooLarge = errors.New("the upload is too large")
	ErrNoRoom   = errors.New("there is no room for the file on the disk")
	ErrBusy     = errors.New("too many files are waiting")
	ErrNoText   = errors.New("there is no consent text in this language")
)

// A Queue works off bulk enrolments one after the other. Make one with Open. It is
// safe for concurrent use.
type Queue struct {
	Config
	woken chan struct{}

	mu     sync.Mutex // protects the field below
	active *work      // nil: none
}

// Open makes a queue, and removes uploads that nobody waits for.
func Open(ctx context.Context, c Config) (*Queue, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = maxUpload
	}
	if c.Workers <= 0 {
		c.Workers = 2 * runtime.GOMAXPROCS(0) // half of them wait for the disk
	}
	q := &Queue{Config: c, woken: make(chan struct{}, 1)}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open bulk enrolments: %w", err)
	}
	running, err := q.running(ctx)
	if err != nil {
		return nil, fmt.Errorf("open bulk enrolments: %w", err)
	}
	wanted := map[string]bool{}
	for _, b := range running {
		wanted[filepath.Base(q.path(b.ID))] = true
	}
	files, err := os.ReadDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open bulk enrolments: %w", err)
	}
	for _, f := range files {
		if !wanted[f.Name()] {
			os.Remove(filepath.Join(c.Dir, f.Name())) // a cut left it, and its key is gone
		}
	}
	return q, nil
}

func (q *Queue) path(id store.BulkID) string { return filepath.Join(q.Dir, string(id)+".upload") }

// Request says what is to be done with an upload.
type Request struct {
	Merchant store.MerchantID
	Check    bool // enrol nobody, and say what would be
	Update   bool // give who is known already the new face

	// Consent records that each new person agreed to the current text in a language,
	// or in any: whoever sends the upload vouches for that. A merchant may enrol
	// nobody who did not.
	Consent string

	// Import says that the upload is what Export of another box wrote. Update then
	// replaces all that is known of somebody, and New takes him in beside who is
	// known, without externalId and e-mail address; otherwise he is left as he is.
	Import bool
	New    bool
	// From, if not empty, is the fingerprint of the box that must have signed it.
	From string
}

// Add takes an archive in and has it worked off. The error matches ErrArchive or
// ErrTable where it cannot be used, ErrParcel where it is no good import, ErrTooLarge and ErrNoRoom where it is too large.
func (q *Queue) Add(ctx context.Context, cause store.Cause, r Request, archive io.Reader) (store.Bulk, error) {
	b := store.Bulk{ID: store.NewUUID[store.BulkID](), Merchant: r.Merchant, State: store.BulkRunning, By: cause.Actor,
		Check: r.Check, Update: r.Update, Import: r.Import, New: r.New, Consent: r.Consent}
	if err := q.admit(ctx, r); err != nil {
		return b, err
	}
	err := q.spool(ctx, &b, r, archive)
	if err == nil {
		err = q.look(&b)
	}
	if err == nil {
		err = q.Store.Update(ctx, cause, func(tx *store.Tx) error {
			put := b
			_, err := store.Append(tx, event(&put, "bulk_begin", map[string]float64{"people": float64(b.Total), "bytes": float64(b.Size)}), nil)
			err = errors.Join(err, store.Put(tx, &put))
			b.Meta = put.Meta
			return err
		})
	}
	if err != nil {
		os.Remove(q.path(b.ID))
		return b, fmt.Errorf("take upload: %w", err)
	}
	q.wake()
	return b, nil
}

// event is what the journal says of a bulk enrolment.
func event(b *store.Bulk, action string, counters map[string]float64) store.Event {
	e := store.Event{Kind: store.EventEnrolment, Action: action, Merchant: b.Merchant, Outcome: store.OutcomeDone, Counters: counters}
	if b.Import {
		e.Reasons = append(e.Reasons, "import")
	}
	if b.Check {
		e.Reasons = append(e.Reasons, "check")
	}
	return e
}

// admit refuses an upload where there are too many already, or where there is no
// text that its people could have agreed to.
func (q *Queue) admit(ctx context.Context, r Request) error {
	running, err := q.running(ctx)
	n := 0
	for _, b := range running {
		if b.Merchant == r.Merchant {
			n++
		}
	}
	if err == nil && n >= maxRunning {
		err = ErrBusy
	}
	if err != nil || r.Consent == "" {
		return err
	}
	return q.Store.View(ctx, func(tx *store.Tx) error {
		_, err := rights.CurrentText(tx, r.Merchant, language(r.Consent))
		if errors.Is(err, store.ErrNotFound) {
			err = ErrNoText
		}
		return err
	})
}

// language is how rights calls it.
func language(consent string) string {
	if consent == "any" {
		return ""
	}
	return consent
}

// look counts the people of an upload.
func (q *Queue) look(b *store.Bulk) error {
	w, err := q.open(b)
	if err != nil {
		return err
	}
	defer w.upload.Close()
	b.Total, b.Notes = len(w.rows), append(b.Notes, w.notes...)
	return nil
}

func (q *Queue) wake() {
	select {
	case q.woken <- struct{}{}:
	default:
	}
}

// running lists the work there is, the oldest first.
func (q *Queue) running(ctx context.Context) ([]store.Bulk, error) {
	return q.jobs(ctx, func(b *store.Bulk, _ time.Time) bool { return b.State == store.BulkRunning })
}

// jobs lists the bulk enrolments of all merchants that keep says.
func (q *Queue) jobs(ctx context.Context, keep func(b *store.Bulk, now time.Time) bool) (all []store.Bulk, err error) {
	err = q.Store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			for b, err := range store.All(tx, store.BulksByMerchant, store.Plain(m.ID)) {
				if err != nil {
					return err
				}
				if keep(&b, tx.Time()) {
					all = append(all, b)
				}
			}
		}
		return nil
	})
	return all, err
}

// retryPause is how soon work is taken up again that could not go on, as with a
// full disk; and how often what is over is looked for.
const (
	retryPause = 30 * time.Second
	sweepPause = time.Hour
)

// Run works off what there is until ctx ends.
func (q *Queue) Run(ctx context.Context) error {
	for {
		pause := sweepPause
		running, err := q.running(ctx)
		if err == nil && len(running) > 0 {
			err = q.work(ctx, &running[0])
			if err == nil {
				continue
			}
			pause = retryPause
		}
		if err == nil {
			err = q.sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			q.Log.Warn("bulk enrolment waits", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.woken:
		case <-time.After(pause):
		}
	}
}

// End cancels a bulk enrolment that is under way, and forgets one that has ended,
// with its report. Who was enrolled stays.
func (q *Queue) End(ctx context.Context, cause store.Cause, m store.MerchantID, id store.BulkID) (cancelled bool, err error) {
	err = q.Store.Update(ctx, cause, func(tx *store.Tx) error {
		b, err := store.GetOf[store.Bulk](tx, m, id)
		if cancelled = b.State == store.BulkRunning; err != nil || !cancelled {
			return err
		}
		return end(tx, &b, store.BulkCancelled, "", nil)
	})
	if err != nil {
		return false, err
	}
	if !cancelled {
		cause.Essential = true // it makes room
		return false, q.forget(ctx, cause, id)
	}
	q.mu.Lock()
	if q.active != nil && q.active.job.ID == id {
		q.active.cancel()
	}
	q.mu.Unlock()
	return true, q.unlink(id)
}

// end closes a bulk enrolment. Its upload cannot be read any more.
func end(tx *store.Tx, b *store.Bulk, s store.BulkState, reason string, counters map[string]float64) error {
	b.State, b.Reason, b.Ended, b.Key = s, reason, tx.Time(), nil
	_, err := store.Append(tx, event(b, "bulk_"+string(s), counters), nil)
	return errors.Join(err, store.Put(tx, b))
}

func (q *Queue) unlink(id store.BulkID) error {
	if err := os.Remove(q.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// forgetPart is how many entries of a report are removed in a transaction.
const forgetPart = 256

// forget removes a bulk enrolment with its report, in parts, so that nobody waits
// long.
func (q *Queue) forget(ctx context.Context, cause store.Cause, id store.BulkID) error {
	err := q.forgetItems(ctx, cause, id, func(tx *store.Tx) error { return store.Delete[store.Bulk](tx, id) })
	if err != nil {
		return fmt.Errorf("forget bulk enrolment: %w", err)
	}
	return nil
}

// forgetItems removes the report alone; last belongs to the last part of it.
func (q *Queue) forgetItems(ctx context.Context, cause store.Cause, id store.BulkID, last func(*store.Tx) error) error {
	for more := true; more; {
		err := q.Store.Update(ctx, cause, func(tx *store.Tx) error {
			page, err := store.List(tx, store.BulkItemsByBulk, store.Query[store.BulkItem]{Prefix: []store.Term{store.Plain(id)}, Limit: forgetPart})
			if err != nil {
				return err
			}
			for _, i := range page.Items {
				if err := store.Delete[store.BulkItem](tx, i.ID); err != nil {
					return err
				}
			}
			if more = page.Next != ""; more {
				return nil
			}
			return last(tx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep forgets what ended long ago.
func (q *Queue) sweep(ctx context.Context) error {
	old, err := q.jobs(ctx, func(b *store.Bulk, now time.Time) bool { return !b.Ended.IsZero() && now.Sub(b.Ended) > Keep })
	for i := 0; err == nil && i < len(old); i++ {
		err = q.forget(ctx, store.Cause{Actor: actor, Essential: true}, old[i].ID)
	}
	return err
}

// actor is the box itself.
var actor = store.Actor{Kind: store.ActorSystem, ID: "bulk"}
