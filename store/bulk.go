package store

import "time"

// BulkState is where a bulk enrolment stands.
type BulkState string

const (
	BulkRunning   BulkState = "running" // or to be gone on with after a restart
	BulkDone      BulkState = "done"
	BulkCancelled BulkState = "cancelled"
	BulkFailed    BulkState = "failed" // Reason says why
)

// Bulk is the enrolment of many people at once, or their import from another box. What was uploaded lies beside the
// store in a file of its own, sealed with Key, until the work ends.
type Bulk struct {
	Meta
	ID       BulkID     `json:"id"`
	Merchant MerchantID `json:"merchant"`
	State    BulkState  `json:"state"`
	Reason   string     `json:"reason,omitempty"`
	Check    bool       `json:"check,omitempty"`  // nobody is enrolled, it is only said what would be
	Update   bool       `json:"update,omitempty"` // who is known already gets the new face
	Import   bool       `json:"import,omitempty"` // they come from another box
	New      bool       `json:"new,omitempty"`    // who is known already comes in as somebody else
	// Consent is the language of the text that all of them agreed to, or any; empty:
	// nothing is recorded.
	Consent string    `json:"consent,omitempty"`
	By      Actor     `json:"by"`
	Total   int       `json:"total"` // people
	Notes   []string  `json:"notes,omitempty"`
	Key     []byte    `json:"key,omitempty"`
	Size    int64     `json:"size,omitempty"` // of what was uploaded, in bytes
	Ended   time.Time `json:"ended,omitzero"`
}

func (b *Bulk) key() BulkID { return b.ID }
func (b *Bulk) kind() Kind  { return KindBulk }
func (b *Bulk) spec() spec {
	return spec{merchant: b.Merchant, owned: true, entries: []entry{BulksByMerchant.entry(Plain(b.Merchant), Moment(b.Created))}}
}

// BulkOutcome is what became of one person of a bulk enrolment.
type BulkOutcome string

const (
	BulkEnrolled BulkOutcome = "enrolled" // or would be
	BulkUpdated  BulkOutcome = "updated"  // known already, with a new face
	BulkExists   BulkOutcome = "exists"   // known already, and left as he is
	BulkRefused  BulkOutcome = "refused"
	BulkErased   BulkOutcome = "erased" // enrolled, and erased since
)

// BulkItem is one person of a bulk enrolment, in the transaction that enrols him:
// who has an item is not taken up again. Where it has a Person it tells nothing
// else about him, as it outlives his erasure: nobody is to come back out of an
// upload that is being worked off.
type BulkItem struct {
	Meta
	ID          BulkItemID  `json:"id"` // NewBulkItemID(Bulk, Number)
	Merchant    MerchantID  `json:"merchant"`
	Bulk        BulkID      `json:"bulk"`
	Number      int         `json:"number"`          // from 1, in the order of the upload
	Label       string      `json:"label,omitempty"` // of who was refused: a line of the table, or a name in the upload
	Outcome     BulkOutcome `json:"outcome"`
	Reason      string      `json:"reason,omitempty"` // why he was refused
	Hint        string      `json:"hint,omitempty"`   // what to do about it
	Person      PersonID    `json:"person,omitempty"`
	DuplicateOf PersonID    `json:"duplicateOf,omitempty"`
	Twin        int         `json:"twin,omitempty"`     // of a check: the Number of who may be the same person
	Pictures    []Refusal   `json:"pictures,omitempty"` // those that were not used
	Content     []byte      `json:"content,omitempty"`  // SHA-256 of the pictures
}

// Refusal is a picture that was not used.
type Refusal struct {
	Name   string `json:"name"` // in the upload; of who was enrolled its number, from 1
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

func (i *BulkItem) key() BulkItemID { return i.ID }
func (i *BulkItem) kind() Kind      { return KindBulkItem }
func (i *BulkItem) spec() spec {
	s := spec{merchant: i.Merchant, owned: true, entries: []entry{
		BulkItemsByBulk.entry(Plain(i.Bulk), Number(uint64(i.Number))),
	}}
	if i.Person != "" {
		s.entries = append(s.entries, BulkItemsByPerson.entry(Plain(i.Person)))
		if len(i.Content) > 0 {
			s.entries = append(s.entries, BulkItemsByContent.entry(Plain(i.Merchant), Hidden(string(i.Content))))
		}
	}
	if i.DuplicateOf != "" {
		s.entries = append(s.entries, BulkItemsByPerson.entry(Plain(i.DuplicateOf)))
	}
	return s
}

// forget takes out what tells about a person who is erased, and leaves that his
// place in the upload was dealt with.
func (i *BulkItem) forget(p PersonID) {
	if i.DuplicateOf == p {
		i.DuplicateOf = ""
	}
	if i.Person == p {
		i.Person, i.Outcome, i.Content = "", BulkErased, nil
	}
}

// forgetBulk has bulk enrolments forget a person.
func forgetBulk(tx *Tx, p PersonID) error {
	ids, err := tx.ids(BulkItemsByPerson.name, Plain(p))
	if err != nil {
		return err
	}
	for _, id := range ids {
		item, err := Get[BulkItem](tx, BulkItemID(id))
		if err != nil {
			return dangling(err)
		}
		item.forget(p)
		if err := Put(tx, &item); err != nil {
			return err
		}
	}
	return nil
}
