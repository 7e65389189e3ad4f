package bulk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// work is a bulk enrolment under way.
type work struct {
	*Queue
	job    store.Bulk
	upload *seal.SpoolReader
	a      *archive
	rows   []row
	notes  []string
	cancel context.CancelFunc
	// consent says that the merchant enrols only those who agreed.
	consent bool
	batch   *verify.Batch // of a check, but of an import; nil: none

	mu     sync.Mutex // protects the fields below
	counts Counts
	began  time.Time
	before int // people who were done when it began
}

// open reads what an upload has.
func (q *Queue) open(b *store.Bulk) (*work, error) {
	w := &work{Queue: q, job: *b}
	if b.Check && !b.Import {
		w.batch = &verify.Batch{}
	}
	var err error
	if w.upload, err = seal.OpenSpool(q.path(b.ID), b.Key, b.Size); err != nil {
		return nil, err
	}
	w.a, err = openArchive(w.upload, w.upload.Size())
	switch {
	case err == nil && b.Import:
		w.rows, err = rowsOfParcel(w.a)
	case err == nil:
		w.rows, w.notes, err = rowsOf(w.a)
	}
	if err != nil {
		w.upload.Close()
		return nil, err
	}
	markTwice(w.rows)
	return w, nil
}

// markTwice refuses people whose external id or e-mail address another one of the
// upload has.
func markTwice(rows []row) {
	first := map[string]string{}
	for i := range rows {
		for field, value := range map[string]string{"externalId": rows[i].person.ExternalID, "email": strings.ToLower(rows[i].person.Email)} {
			if value == "" {
				continue
			}
			if of, twice := first[field+value]; twice && rows[i].problem == "" {
				rows[i].problem = "the " + field + " is that of " + of
			} else if !twice {
				first[field+value] = rows[i].label
			}
		}
	}
}

// work enrols the people of one upload. An error leaves the rest for another time.
func (q *Queue) work(ctx context.Context, b *store.Bulk) error {
	w, err := q.open(b)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		q.Log.Error("an upload cannot be worked off", "bulk", string(b.ID), "err", err)
		return q.close(ctx, b, store.BulkFailed, "the upload is lost or damaged: send it again", nil)
	}
	defer w.upload.Close()
	ctx, w.cancel = context.WithCancel(ctx)
	defer w.cancel()
	q.mu.Lock()
	q.active = w
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.active = nil
		q.mu.Unlock()
	}()
	dealt, err := w.dealt(ctx)
	if err == nil {
		err = w.all(ctx, dealt)
	}
	if err == nil && w.batch != nil {
		err = w.twins(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // cancelled, or the box stops
		}
		return err
	}
	c := w.counts
	return q.close(ctx, b, store.BulkDone, "", map[string]float64{
		"people": float64(len(w.rows)), "enrolled": float64(c.Enrolled), "updated": float64(c.Updated), "exists": float64(c.Exists),
		"refused": float64(c.Refused), "duplicates": float64(c.Duplicates)})
}

// close ends a bulk enrolment, unless it was cancelled.
func (q *Queue) close(ctx context.Context, b *store.Bulk, s store.BulkState, reason string, counters map[string]float64) error {
	err := q.Store.Update(ctx, store.Cause{Actor: actor}, func(tx *store.Tx) error {
		now, err := store.Get[store.Bulk](tx, b.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.State != store.BulkRunning {
			return nil
		} else if err != nil {
			return err
		}
		return end(tx, &now, s, reason, counters)
	})
	return errors.Join(err, q.unlink(b.ID))
}

// dealt says who was dealt with before. Of a check that was cut short it is nobody:
// what it had to compare with is gone.
func (w *work) dealt(ctx context.Context) (dealt map[int]bool, err error) {
	dealt, anew := map[int]bool{}, false
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.Store.View(ctx, func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, w.job.Merchant)
		if err != nil {
			return err
		}
		w.consent = m.Policy.ConsentRequired(tx.Info().Environment)
		if now, err := store.Get[store.Bulk](tx, w.job.ID); err != nil || now.State != store.BulkRunning {
			w.cancel() // it ended before it began
			return errors.Join(err, context.Canceled)
		}
		for i, err := range store.All(tx, store.BulkItemsByBulk, store.Plain(w.job.ID)) {
			if err != nil {
				return err
			}
			if anew = w.batch != nil; anew {
				break
			}
			dealt[i.Number] = true
			w.counts.add(&i)
		}
		return nil
	})
	if err == nil && anew {
		err = w.forgetItems(ctx, store.Cause{Actor: actor}, w.job.ID, func(*store.Tx) error { return nil })
	}
	w.began, w.before = time.Now(), w.counts.Done
	return dealt, err
}

// all enrols everybody who was not dealt with, several at once. They give way to
// who is verified meanwhile.
func (w *work) all(ctx context.Context, dealt map[int]bool) error {
	g, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	g.Go(func() error {
		defer close(next)
		for n := range w.rows {
			if dealt[n+1] {
				continue
			}
			select {
			case next <- n + 1:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range w.Workers {
		g.Go(func() error {
			for n := range next {
				if err := w.one(ctx, n, &w.rows[n-1]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// twinsPart is of how many twins the items are changed in a transaction.
const twinsPart = 256

// twins finds out who of a check may be another of it.
func (w *work) twins(ctx context.Context) error {
	twins, err := w.Enroller.Twins(ctx, w.job.Merchant, w.batch)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(twins, twinsPart) {
		var before, after []store.BulkItem
		err := w.Store.Update(ctx, w.cause(), func(tx *store.Tx) error {
			before, after = nil, nil
			for _, t := range part {
				i, err := store.Get[store.BulkItem](tx, store.NewBulkItemID(w.job.ID, t.Number))
				if err != nil {
					return err
				}
				before = append(before, i)
				if i.Twin = t.Of; t.Refused != nil {
					refuse(&i, verify.ReasonOf(t.Refused), t.Refused.Hint)
				}
				if err := store.Put(tx, &i); err != nil {
					return err
				}
				after = append(after, i)
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.mu.Lock()
		for n := range after {
			w.counts.remove(&before[n])
			w.counts.add(&after[n])
		}
		w.mu.Unlock()
	}
	return nil
}

// cause is what the enrolments of the upload are put down to.
func (w *work) cause() store.Cause { return store.Cause{Actor: w.job.By, Request: string(w.job.ID)} }

// one deals with one person. The error is one that says nothing about him.
func (w *work) one(ctx context.Context, number int, r *row) error {
	item := store.BulkItem{ID: store.NewBulkItemID(w.job.ID, number), Merchant: w.job.Merchant, Bulk: w.job.ID, Number: number, Label: r.label}
	deal := w.deal
	if w.job.Import {
		deal = w.bring
	}
	err := deal(ctx, &item, r)
	if err == nil && item.Rev == 0 {
		err = w.Store.Update(ctx, w.cause(), func(tx *store.Tx) error {
			put := item
			return store.Put(tx, &put)
		})
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.add(&item)
	return nil
}

// refuse says why somebody is not enrolled.
func refuse(i *store.BulkItem, reason, hint string) {
	i.Outcome, i.Reason, i.Hint = store.BulkRefused, reason, hint
}

// Reasons why somebody is refused, beside those of verify and of pictures.
const (
	ReasonField = "bad_field" // something about him is not well formed, or is another's
	ReasonNoOne = "no_picture_usable"
)

// deal finds out what becomes of somebody, and enrols him: then the item is stored.
func (w *work) deal(ctx context.Context, i *store.BulkItem, r *row) error {
	if r.problem != "" {
		refuse(i, ReasonField, r.problem)
		return nil
	}
	p := r.person
	if p.Firstname == "" && p.Lastname == "" && p.ExternalID == "" && p.Email == "" {
		refuse(i, ReasonField, "a name, an externalId or an e-mail address is required")
		return nil
	}
	if w.Valid != nil {
		if field, issue := w.Valid(&p); issue != "" {
			refuse(i, ReasonField, field+" "+issue)
			return nil
		}
	}
	images, sum := w.pictures(i, r)
	if len(images) == 0 {
		reason, hint := ReasonNoOne, "name at least one picture, as JPEG or PNG"
		if len(i.Pictures) > 0 {
			reason, hint = i.Pictures[0].Reason, i.Pictures[0].Hint
		}
		refuse(i, reason, hint)
		return nil
	}
	i.Content = sum
	known, err := w.known(ctx, &p, sum)
	if err != nil {
		return err
	}
	if known != "" && !w.job.Update {
		i.Outcome, i.Person = store.BulkExists, known
		settle(i)
		return nil
	}
	if known == "" && w.job.Consent == "" && w.consent {
		refuse(i, "no_consent", "the merchant enrols only who agreed: send it again with consent, if they did")
		return nil
	}
	return w.enrol(ctx, i, p, known, images)
}

// agree records that somebody new agreed, as whoever sent the upload says.
func (w *work) agree(tx *store.Tx, p store.PersonID) error {
	text, err := rights.CurrentText(tx, w.job.Merchant, language(w.job.Consent))
	if err != nil {
		return err
	}
	_, err = rights.Give(tx, rights.Agreement{Merchant: w.job.Merchant, Person: p, Text: text.ID, Through: store.ThroughOperator, By: w.job.By})
	return err
}

// settle takes out of the item what would tell about somebody who is in the store.
func settle(i *store.BulkItem) {
	i.Label, i.Hint = "", ""
	i.Pictures = slices.Clone(i.Pictures)
	for n, p := range i.Pictures {
		i.Pictures[n].Name = p.Name[strings.LastIndexByte(p.Name, '#')+1:]
	}
}

// shot is a picture of somebody that can be decoded.
type shot struct {
	image.Image
	name string
}

// pictures reads somebody's pictures; those that cannot be used are noted.
func (w *work) pictures(i *store.BulkItem, r *row) (usable []shot, sum []byte) {
	h := sha256.New()
	for n, name := range r.images {
		called := printable(name) + "#" + strconv.Itoa(n+1)
		raw, problem := w.a.read(name, maxPicture)
		if problem == "" && len(usable) == verify.MaxImages {
			problem = "too_many"
		}
		if problem == "" {
			p, err := picture.Decode(raw, picture.Limits{})
			switch {
			case errors.Is(err, picture.ErrFormat):
				problem = ReasonNoPicture
			case errors.Is(err, picture.ErrTooLarge):
				problem = ReasonTooLarge
			case err != nil:
				problem = ReasonDamaged
			default:
				sum := sha256.Sum256(raw)
				h.Write(sum[:])
				usable = append(usable, shot{p.Image, called})
			}
		}
		if problem != "" {
			i.Pictures = append(i.Pictures, store.Refusal{Name: called, Reason: problem, Hint: hints[problem]})
		}
	}
	return usable, h.Sum(nil)
}

// hints say what would help against the reasons of this package.
var hints = map[string]string{
	ReasonPath:      "name it without .., \\ and links",
	ReasonEncrypted: "make the archive without a password",
	ReasonTwice:     "give each file a name of its own",
	ReasonTooLarge:  "make it smaller: a face of 200 pixels is plenty",
	ReasonMissing:   "put it into the archive under the name that the table has",
	ReasonDamaged:   "send it again",
	ReasonNoPicture: "save it as JPEG or PNG",
	"too_many":      fmt.Sprintf("%d are used", verify.MaxImages),
}

// known finds who is in the store already: by his external id, his e-mail address,
// or because an upload had the same pictures.
func (w *work) known(ctx context.Context, p *store.Person, sum []byte) (id store.PersonID, err error) {
	err = w.Store.View(ctx, func(tx *store.Tx) error {
		found := func(one store.Person, err error) (bool, error) {
			if errors.Is(err, store.ErrNotFound) {
				return false, nil
			}
			id = one.ID
			return err == nil, err
		}
		if p.ExternalID != "" {
			if ok, err := found(store.Find(tx, store.PersonByExternalID, store.Plain(w.job.Merchant), store.Hidden(p.ExternalID))); ok || err != nil {
				return err
			}
		}
		if p.Email != "" {
			if ok, err := found(store.Find(tx, store.PersonByEmail, store.Plain(w.job.Merchant), store.Email(p.Email))); ok || err != nil {
				return err
			}
		}
		if p.ExternalID != "" || p.Email != "" {
			return nil // somebody else, with pictures of another
		}
		for same, err := range store.All(tx, store.BulkItemsByContent, store.Plain(w.job.Merchant), store.Hidden(string(sum))) {
			if err != nil {
				return err
			}
			if ok, err := found(store.GetOf[store.Person](tx, w.job.Merchant, same.Person)); ok || err != nil {
				return err
			}
		}
		return nil
	})
	return id, err
}

// enrol enrols somebody, without the pictures that are refused.
func (w *work) enrol(ctx context.Context, i *store.BulkItem, p store.Person, known store.PersonID, images []shot) error {
	r := verify.EnrolRequest{Cause: w.cause(), Merchant: w.job.Merchant, Person: known, Source: "bulk", Check: w.job.Check, Background: true,
		Batch: w.batch, Number: i.Number}
	i.Outcome = store.BulkUpdated
	if known == "" {
		p.ID, p.Merchant, p.Status = store.NewID[store.PersonID](time.Now()), w.job.Merchant, store.PersonRegistered
		r.Person, r.New, i.Outcome = p.ID, &p, store.BulkEnrolled
		if w.job.Consent != "" {
			r.Before = func(tx *store.Tx) error { return w.agree(tx, p.ID) }
		}
	}
	var stored store.BulkItem
	r.Also = func(tx *store.Tx, e verify.Enrolment) error {
		stored = *i
		stored.Person, stored.DuplicateOf = r.Person, e.PossibleDuplicateOf
		settle(&stored)
		return store.Put(tx, &stored)
	}
	for {
		r.Images = nil
		for _, s := range images {
			r.Images = append(r.Images, s.Image)
		}
		e, err := w.Enroller.Enrol(ctx, r)
		if err == nil {
			if i.DuplicateOf = e.PossibleDuplicateOf; !w.job.Check {
				*i = stored
			}
			return nil
		}
		var conflict *store.ConflictError
		if errors.As(err, &conflict) && conflict.Kind == store.KindPerson { // somebody was faster
			i.Outcome, i.Person = store.BulkExists, store.PersonID(conflict.Existing)
			settle(i)
			return nil
		}
		var face *verify.Error
		if !errors.As(err, &face) {
			return err
		}
		reason := verify.ReasonOf(face.Err)
		if len(face.Reasons) > 0 {
			reason += ": " + strings.Join(face.Reasons, ", ")
		}
		if n := face.Image - 1; n >= 0 && n < len(images) {
			i.Pictures = append(i.Pictures, store.Refusal{Name: images[n].name, Reason: reason, Hint: face.Hint})
			images = slices.Delete(images, n, n+1)
			if len(images) > 0 {
				continue
			}
		}
		i.DuplicateOf = face.Of
		refuse(i, reason, face.Hint)
		return nil
	}
}

// report puts the progress of the work into p.
func (w *work) report(p *Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.Counts = w.counts
	if n, took := w.counts.Done-w.before, time.Since(w.began).Seconds(); n > 0 && took > 0 {
		p.Rate = float64(n) / took
		p.Remaining = time.Duration(float64(len(w.rows)-w.counts.Done) / p.Rate * float64(time.Second))
	}
}
