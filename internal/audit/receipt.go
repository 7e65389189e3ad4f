package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cypherface/edge/store"
)

// receiptFormat begins every receipt; the next format counts on.
const receiptFormat = "cypherface erasure receipt 1"

// Receipt is what a box gives somebody whose data it has erased, and what holds
// without the box: the erasure is an event of its log, which a signed checkpoint
// proves, and the whole is signed once more. It names the person by his random id
// alone.
type Receipt struct {
	Format string         `json:"format"`
	Box    string         `json:"box"` // cypherface/ENVIRONMENT/DEVICE
	Key    string         `json:"key"` // of the box; compare it with what the box's operator shows
	Person store.PersonID `json:"userId"`
	Tag    string         `json:"userTag"` // the beginning of the SHA-256 of the id, which erasure logs know
	Whole  bool           `json:"whole"`   // the person with all that told about him; otherwise what his face could be recognised by
	Time   time.Time      `json:"time"`    // of the erasure
	Seq    uint64         `json:"seq"`     // of its event
	Epoch  uint64         `json:"epoch"`
	Erased map[string]int `json:"erased"` // how many records of each kind
	Copies []Copy         `json:"copies"` // where something may lie still
	Issued time.Time      `json:"issued"`
	Proof  Proof          `json:"proof"`
	Note   string         `json:"note"` // signed, over the hash of all the rest
}

// Copy is a place where something about an erased person may lie still.
type Copy struct {
	Where    string    `json:"where"`
	Readable bool      `json:"readable"`       // by somebody who has the place and the keys there are
	Until    time.Time `json:"until,omitzero"` // at the latest; zero: the box does not know
	Note     string    `json:"note"`
}

// Receipt makes the receipt of an erasure of a merchant: an erasure event, or a
// consent that was withdrawn. copies says where something may lie still. The error
// matches ErrNoEvent where the event is not one of these, and ErrDropped.
func (l *Log) Receipt(ctx context.Context, m store.MerchantID, epoch, seq uint64, copies func(*store.Event) []Copy) (Receipt, error) {
	p, err := l.Prove(ctx, epoch, seq)
	if err != nil {
		return Receipt{}, err
	}
	var e store.Event
	if err := json.Unmarshal(p.Event, &e); err != nil {
		return Receipt{}, fmt.Errorf("read event %d: %w", seq, err)
	}
	if !isErasure(&e) || e.Merchant != m {
		return Receipt{}, fmt.Errorf("give a receipt: %w: event %d is no erasure", ErrNoEvent, seq)
	}
	tag := e.Person.Tag()
	r := Receipt{
		Format: receiptFormat, Box: l.signer.Name(), Key: l.key, Person: e.Person, Tag: hex.EncodeToString(tag[:]), Whole: e.Kind == store.EventErasure,
		Time: e.Time, Seq: e.Seq, Epoch: e.Epoch, Erased: erasedCounts(&e), Copies: copies(&e), Issued: l.Clock().UTC().Truncate(time.Second), Proof: p,
	}
	text, err := r.text()
	if err != nil {
		return Receipt{}, err
	}
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return Receipt{}, fmt.Errorf("sign receipt: %w", err)
	}
	r.Note = string(signed)
	return r, nil
}

func isErasure(e *store.Event) bool {
	return e.Person != "" && e.Outcome == store.OutcomeDone &&
		(e.Kind == store.EventErasure || e.Kind == store.EventConsent && e.Action == store.ActionWithdrawn)
}

func erasedCounts(e *store.Event) map[string]int {
	counts := map[string]int{}
	for kind, n := range e.Counters {
		counts[kind] = int(n)
	}
	if e.Kind == store.EventErasure {
		counts[string(store.KindPerson)] = 1
	}
	return counts
}

// text is what is signed: the hash of the receipt as Go's encoding/json writes it,
// without the note.
func (r Receipt) text() (string, error) {
	r.Note = ""
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode receipt: %w", err)
	}
	sum := sha256.Sum256(b)
	return receiptFormat + "\n" + base64.StdEncoding.EncodeToString(sum[:]) + "\n", nil
}

// VerifyReceipt holds a receipt, as JSON, against the key of a box. The error
// matches ErrUntrue.
func VerifyReceipt(b []byte, key string) (r Receipt, c Checkpoint, err error) {
	fail := func(format string, args ...any) (Receipt, Checkpoint, error) {
		return Receipt{}, Checkpoint{}, fmt.Errorf("verify receipt: %w: %s", ErrUntrue, fmt.Sprintf(format, args...))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil || r.Format != receiptFormat || dec.More() {
		return fail("it is not a receipt of this format")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return r, c, fmt.Errorf("read key: %w (it is NAME+HASH+KEY, as cypherface audit checkpoint shows it)", err)
	}
	signed, err := note.Open([]byte(r.Note), note.VerifierList(verifier))
	if err != nil {
		return fail("it is not signed by %s", verifier.Name())
	}
	if text, err := r.text(); err != nil || text != signed.Text {
		return fail("it was changed since it was signed")
	}
	proof, err := json.Marshal(r.Proof)
	if err != nil {
		return fail("its proof cannot be read")
	}
	e, c, err := VerifyProof(proof, key)
	if err != nil {
		return r, c, err
	}
	tag := e.Person.Tag()
	if !isErasure(&e) || e.Person != r.Person || hex.EncodeToString(tag[:]) != r.Tag || e.Seq != r.Seq || e.Epoch != r.Epoch || !e.Time.Equal(r.Time) {
		return fail("its event is another than it says")
	}
	return r, c, nil
}
