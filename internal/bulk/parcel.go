package bulk

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// People go from one box to another as a parcel (seal.SealParcel) whose content is
// a ZIP: for each person people/NUMBER.json, and his crops as people/NUMBER-CROP.jpg.

// packed is a person in a parcel.
type packed struct {
	Person    store.Person     `json:"person"` // without password
	Crops     []packedCrop     `json:"crops"`
	Templates []packedTemplate `json:"templates"`
	Consent   *store.Consent   `json:"consent,omitempty"` // the newest: that which holds, or was taken back
}

type packedCrop struct {
	store.Crop
	File string `json:"file"`
}

type packedTemplate struct {
	Space  string    `json:"space"`
	Crops  int       `json:"crops"`
	Vector []float32 `json:"vector"`
}

// Bounds of what is taken from a parcel.
const (
	maxPacked    = 1 << 20 // bytes of a person without crops
	maxCrop      = 1 << 20
	maxTemplates = 16
)

// Keys are what a box exchanges people with. They are secrets of its store, made
// when they are first wanted.
type Keys struct {
	Receive *seal.RecoveryKey  // what others seal to
	Sign    ed25519.PrivateKey // what its parcels are signed with
}

const (
	secretReceive store.SecretName = "exchange-receive"
	secretSign    store.SecretName = "exchange-sign"
)

// ExchangeKeys returns the keys of a box.
func ExchangeKeys(ctx context.Context, s store.Store) (k Keys, err error) {
	read := func(tx *store.Tx) error {
		receive, err := store.Get[store.Secret](tx, secretReceive)
		if err != nil {
			return err
		}
		sign, err := store.Get[store.Secret](tx, secretSign)
		if err != nil {
			return err
		}
		if len(sign.Value) != ed25519.SeedSize {
			return fmt.Errorf("read exchange keys: %w", store.ErrDamaged)
		}
		k.Sign = ed25519.NewKeyFromSeed(sign.Value)
		k.Receive, err = seal.ParseRecoveryKey(receive.Value)
		return err
	}
	if err = s.View(ctx, read); !errors.Is(err, store.ErrNotFound) {
		return k, err
	}
	err = s.Update(ctx, store.Cause{Actor: actor}, func(tx *store.Tx) error {
		if err := read(tx); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		k = Keys{seal.NewRecoveryKey(), private}
		return errors.Join(
			store.Put(tx, &store.Secret{Name: secretReceive, Value: []byte(k.Receive.Text())}),
			store.Put(tx, &store.Secret{Name: secretSign, Value: private.Seed()}))
	})
	return k, err
}

// Export writes all people of a merchant to w, sealed to another box: who they are,
// their crops, templates and consent; no passwords, grants or history. It appends an
// event of it first, so that nothing leaves the box unrecorded.
func Export(ctx context.Context, s store.Store, cause store.Cause, m store.MerchantID, to *seal.Recovery, w io.Writer) (people int, err error) {
	k, err := ExchangeKeys(ctx, s)
	if err != nil {
		return 0, err
	}
	ids, err := peopleOf(ctx, s, m)
	if err != nil {
		return 0, err
	}
	err = s.Update(ctx, cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Action: "export_people", Merchant: m, Outcome: store.OutcomeDone,
			Reasons: []string{to.Fingerprint()}, Counters: map[string]float64{"people": float64(len(ids))}}, nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	info := s.Info()
	sealed, err := seal.SealParcel(w, seal.About{Environment: info.Environment, Device: info.Device, Epoch: info.Epoch, Made: time.Now()}, to, k.Sign)
	if err != nil {
		return 0, err
	}
	z := zip.NewWriter(sealed)
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return people, err
		}
		var one packed
		err := s.View(ctx, func(tx *store.Tx) (err error) {
			one, err = pack(tx, m, id)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			continue // erased meanwhile
		}
		people++
		if err == nil {
			err = one.write(z, people)
		}
		if err != nil {
			return people, fmt.Errorf("export person %s: %w", id, err)
		}
	}
	return people, errors.Join(z.Close(), sealed.Close())
}

// peopleOf lists the people of a merchant.
func peopleOf(ctx context.Context, s store.Store, m store.MerchantID) (ids []store.PersonID, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			ids = append(ids, p.ID)
		}
		return ctx.Err()
	})
	return ids, err
}

// pack reads a person.
func pack(tx *store.Tx, m store.MerchantID, id store.PersonID) (one packed, err error) {
	if one.Person, err = store.GetOf[store.Person](tx, m, id); err != nil {
		return one, err
	}
	one.Person.Password = ""
	for c, err := range store.All(tx, store.CropsByPerson, store.Plain(id)) {
		if err != nil {
			return one, err
		}
		one.Crops = append(one.Crops, packedCrop{Crop: c})
	}
	for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(id)) {
		if err != nil {
			return one, err
		}
		one.Templates = append(one.Templates, packedTemplate{t.Space, t.Crops, t.Vector})
	}
	for c, err := range store.All(tx, store.ConsentsByPerson, store.Plain(id)) {
		if err != nil {
			return one, err
		}
		one.Consent = &c
	}
	return one, nil
}

func (one *packed) write(z *zip.Writer, number int) error {
	for i := range one.Crops {
		c := &one.Crops[i]
		c.File = fmt.Sprintf("people/%07d-%d.jpg", number, i+1)
		f, err := z.CreateHeader(&zip.FileHeader{Name: c.File, Method: zip.Store}) // crops do not compress
		if err == nil {
			_, err = f.Write(c.Image)
		}
		if err != nil {
			return err
		}
	}
	f, err := z.Create(fmt.Sprintf("people/%07d.json", number))
	if err != nil {
		return err
	}
	return json.NewEncoder(f).Encode(one)
}

// ErrParcel says that what should be people from another box is not; the text says
// why.
var ErrParcel = errors.New("the file of people cannot be used")

// unseal writes the content of a parcel to w, and notes where it comes from. from,
// if not empty, is the fingerprint of the box that must have signed it.
func (q *Queue) unseal(ctx context.Context, b *store.Bulk, from string, parcel io.Reader, w io.Writer) error {
	k, err := ExchangeKeys(ctx, q.Store)
	if err != nil {
		return err
	}
	p, err := seal.OpenParcel(parcel)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrParcel, err)
	}
	signer := seal.SignerFingerprint(p.Signer)
	if from != "" && from != signer {
		return fmt.Errorf("%w: %w: it is signed by %s", ErrParcel, seal.ErrSignature, signer)
	}
	if p.Environment != q.Store.Info().Environment {
		return fmt.Errorf("%w: its people are of the %s environment", ErrParcel, p.Environment)
	}
	b.Notes = append(b.Notes, fmt.Sprintf("from box %s, signed by %s on %s", p.Device, signer, p.Made.Format("2 January 2006, 15:04 UTC")))
	if err := p.Copy(w, k.Receive); err != nil {
		if errors.Is(err, seal.ErrRecipient) || errors.Is(err, seal.ErrSignature) || errors.Is(err, store.ErrDamaged) {
			return fmt.Errorf("%w: %w", ErrParcel, err)
		}
		return err
	}
	return nil
}

// rowsOfParcel lists the people of a parcel; who they are is read when it is their
// turn.
func rowsOfParcel(a *archive) (rows []row, err error) {
	for _, name := range a.names {
		if strings.HasSuffix(name, ".json") {
			rows = append(rows, row{label: strings.TrimSuffix(strings.TrimPrefix(name, "people/"), ".json"), packed: name})
		}
	}
	if len(rows) > maxRows {
		return nil, fmt.Errorf("%w: it has more than %d people", ErrParcel, maxRows)
	}
	return rows, nil
}

// unpack reads a person with his crops; problem says why he cannot be taken.
func (w *work) unpack(name string) (one packed, problem string) {
	raw, problem := w.a.read(name, maxPacked)
	if problem != "" {
		return one, problem
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&one); err != nil {
		return one, ReasonDamaged
	}
	status := []store.PersonStatus{store.PersonRegistered, store.PersonEnrolled, store.PersonSuspended}
	if _, err := store.ParseID[store.PersonID](string(one.Person.ID)); err != nil || !slices.Contains(status, one.Person.Status) || len(one.Crops) > maxTemplates || len(one.Templates) > maxTemplates {
		return one, ReasonDamaged
	}
	for i := range one.Crops {
		c := &one.Crops[i]
		if c.Image, problem = w.a.read(c.File, maxCrop); problem != "" {
			return one, problem
		}
		if len(c.Landmarks) > 5 {
			return one, ReasonDamaged
		}
	}
	for _, t := range one.Templates {
		if t.Space == "" || len(t.Space) > 100 || !unit(t.Vector) {
			return one, ReasonDamaged
		}
	}
	return one, ""
}

// unit says whether a vector is a template: of unit length.
func unit(v []float32) bool {
	if len(v) == 0 || len(v) > 4096 {
		return false
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Abs(sum-1) < 1e-3
}

// ReasonErased: the person was erased on this box and does not come back.
const ReasonErased = "erased"

// bring takes a person from a parcel in, in one transaction with the item.
func (w *work) bring(ctx context.Context, i *store.BulkItem, r *row) error {
	one, problem := w.unpack(r.packed)
	if problem != "" {
		refuse(i, problem, hints[problem])
		return nil
	}
	if w.Valid != nil {
		if field, issue := w.Valid(&one.Person); issue != "" {
			refuse(i, ReasonField, field+" "+issue)
			return nil
		}
	}
	if len(one.Crops)+len(one.Templates) == 0 && one.Person.Status == store.PersonEnrolled {
		one.Person.Status = store.PersonRegistered
	}
	try := w.Store.View
	if !w.job.Check {
		try = func(ctx context.Context, fn func(*store.Tx) error) error { return w.Store.Update(ctx, w.cause(), fn) }
	}
	blank := *i
	err := try(ctx, func(tx *store.Tx) error {
		*i = blank
		return w.settleIn(tx, i, one)
	})
	if errors.Is(err, store.ErrNoConsent) {
		*i = blank
		refuse(i, "no_consent", "the merchant enrols only who agreed, or he took it back: record his consent, and import him with update")
		return nil
	}
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		*i = blank
		refuse(i, ReasonField, conflict.Field+" is another's")
		return nil
	}
	return err
}

// settleIn decides about a person by what the store has, and stores him with the
// item where this is no check.
func (w *work) settleIn(tx *store.Tx, i *store.BulkItem, one packed) error {
	p := one.Person
	if erased, err := store.WasErased(tx, p.ID); err != nil {
		return err
	} else if erased {
		refuse(i, ReasonErased, "who was erased on this box does not come back; enrol him anew if he wants that")
		return w.noteItem(tx, i)
	}
	known, found, err := w.knownAs(tx, &p)
	if err != nil {
		return err
	}
	switch {
	case !found:
		i.Outcome = store.BulkEnrolled
		p.Meta = store.Meta{}
	case w.job.Update:
		i.Outcome = store.BulkUpdated
		p.ID, p.Meta, p.Password = known.ID, known.Meta, known.Password
	case w.job.New:
		i.Outcome = store.BulkEnrolled
		p.ID, p.Meta, p.Email, p.ExternalID = store.NewID[store.PersonID](tx.Time()), store.Meta{}, "", ""
	default:
		i.Outcome, i.Person = store.BulkExists, known.ID
		settle(i)
		return w.noteItem(tx, i)
	}
	p.Merchant = w.job.Merchant
	i.Person = p.ID
	settle(i)
	if w.job.Check {
		i.Person = ""
		return nil
	}
	if err := putPacked(tx, &p, one, i.Outcome == store.BulkEnrolled); err != nil {
		return err
	}
	if len(one.Crops)+len(one.Templates) > 0 {
		m, err := store.Get[store.Merchant](tx, p.Merchant)
		if err == nil {
			err = store.MayEnrol(tx, &m, p.ID)
		}
		if err != nil {
			return err
		}
	}
	_, err = store.Append(tx, store.Event{Kind: store.EventEnrolment, Action: "import", Merchant: p.Merchant, Person: p.ID, Outcome: store.OutcomeDone,
		Counters: map[string]float64{"crops": float64(len(one.Crops))}}, nil)
	return errors.Join(err, w.noteItem(tx, i))
}

// noteItem stores the item, where this is no check.
func (w *work) noteItem(tx *store.Tx, i *store.BulkItem) error {
	if w.job.Check {
		return nil
	}
	return store.Put(tx, i)
}

// knownAs finds who a person is here: by id, external id or e-mail address.
func (w *work) knownAs(tx *store.Tx, p *store.Person) (known store.Person, found bool, err error) {
	known, err = store.GetOf[store.Person](tx, w.job.Merchant, p.ID)
	if errors.Is(err, store.ErrNotFound) && p.ExternalID != "" {
		known, err = store.Find(tx, store.PersonByExternalID, store.Plain(w.job.Merchant), store.Hidden(p.ExternalID))
	}
	if errors.Is(err, store.ErrNotFound) && p.Email != "" {
		known, err = store.Find(tx, store.PersonByEmail, store.Plain(w.job.Merchant), store.Email(p.Email))
	}
	if errors.Is(err, store.ErrNotFound) {
		return known, false, nil
	}
	return known, err == nil, err
}

// putPacked stores a person with crops and templates, in the place of those that
// he has. Of which spaces he has templates is all the same: who lacks that which
// the box uses is embedded anew from the crops (verify.Service.Keep).
// His consent comes with who is new here; of who is known it is what this box has.
func putPacked(tx *store.Tx, p *store.Person, one packed, isNew bool) error {
	if err := store.Put(tx, p); err != nil {
		return err
	}
	if one.Consent != nil && isNew {
		c := *one.Consent
		// The text is one of the other box; version, language and hash say which.
		c.Meta, c.ID, c.Merchant, c.Person, c.Text = store.Meta{}, store.NewID[store.ConsentID](tx.Time()), p.Merchant, p.ID, ""
		if err := store.Put(tx, &c); err != nil {
			return err
		}
	}
	var crops []store.CropID
	for c, err := range store.All(tx, store.CropsByPerson, store.Plain(p.ID)) {
		if err != nil {
			return err
		}
		crops = append(crops, c.ID)
	}
	var templates []store.TemplateID
	for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(p.ID)) {
		if err != nil {
			return err
		}
		templates = append(templates, t.ID)
	}
	for _, id := range crops {
		if err := store.Delete[store.Crop](tx, id); err != nil {
			return err
		}
	}
	for _, id := range templates {
		if err := store.Delete[store.Template](tx, id); err != nil {
			return err
		}
	}
	for _, c := range one.Crops {
		crop := c.Crop
		crop.Meta, crop.ID, crop.Merchant, crop.Person = store.Meta{}, store.NewID[store.CropID](tx.Time()), p.Merchant, p.ID
		if err := store.Put(tx, &crop); err != nil {
			return err
		}
	}
	spaces := map[string]bool{}
	for _, t := range one.Templates {
		if spaces[t.Space] {
			continue
		}
		spaces[t.Space] = true
		rec := store.Template{ID: store.NewTemplateID(p.ID, t.Space), Merchant: p.Merchant, Person: p.ID, Space: t.Space, Crops: t.Crops, Vector: slices.Clone(t.Vector)}
		if err := store.Put(tx, &rec); err != nil {
			return err
		}
	}
	return nil
}
