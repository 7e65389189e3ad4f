package store

import (
	"errors"
	"time"
)

// PersonStatus is where a person stands.
type PersonStatus string

const (
	PersonRegistered PersonStatus = "registered" // known, without a face
	PersonEnrolled   PersonStatus = "enrolled"   // has at least one template
	PersonSuspended  PersonStatus = "suspended"  // matches nowhere until enrolled again
)

// Person is somebody who can be recognised.
type Person struct {
	Meta
	ID         PersonID     `json:"id"`
	Merchant   MerchantID   `json:"merchant"`
	Firstname  string       `json:"firstname,omitempty"`
	Lastname   string       `json:"lastname,omitempty"`
	Email      string       `json:"email,omitempty"` // unique in the merchant, whatever its case
	Phone      string       `json:"phone,omitempty"`
	ExternalID string       `json:"externalId,omitempty"` // the merchant's own id; unique in the merchant
	Password   string       `json:"password,omitempty"`   // argon2id in PHC form, never the password
	Status     PersonStatus `json:"status"`
	EnrolledAt time.Time    `json:"enrolledAt,omitzero"`
	Disputed   Disputed     `json:"disputed,omitzero"`
	Home       SiteID       `json:"home,omitempty"` // of a person whom a box enrolled: its site, where he is known in any case
}

// Disputed are values that a person should have and somebody else of the merchant
// has: two boxes gave them away while they could not hear of each other.
type Disputed struct {
	Email      string `json:"email,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
}

func (p *Person) key() PersonID { return p.ID }
func (p *Person) kind() Kind    { return KindPerson }
func (p *Person) spec() spec {
	s := spec{merchant: p.Merchant, person: p.ID, owned: true, entries: []entry{
		PersonsByMerchant.entry(Plain(p.Merchant), Moment(p.Created)),
	}}
	if p.Email != "" {
		s.entries = append(s.entries, PersonByEmail.entry(Plain(p.Merchant), Email(p.Email)))
	}
	if p.ExternalID != "" {
		s.entries = append(s.entries, PersonByExternalID.entry(Plain(p.Merchant), Hidden(p.ExternalID)))
	}
	return s
}

// Point is a place in an image, in pixels from its upper left corner.
type Point struct {
	X float32 `json:"x"`
	Y float32 `json:"y"`
}

// Crop is one enrolled face, kept so that every later network can embed it anew:
// 256×256 pixels, upright, 64 pixels between the eyes.
type Crop struct {
	Meta
	ID        CropID     `json:"id"`
	Merchant  MerchantID `json:"merchant"`
	Person    PersonID   `json:"person"`
	Landmarks []Point    `json:"landmarks"`         // eyes, nose, mouth corners, in the crop's pixels
	Space     string     `json:"space,omitempty"`   // whose networks found the landmarks; empty: not known
	Source    string     `json:"source,omitempty"`  // where it came from: upload, camera, cli
	Quality   []string   `json:"quality,omitempty"` // the reasons that the engine named, if any
	Image     []byte     `json:"-"`                 // encoded, lossless or nearly so
}

func (c *Crop) key() CropID { return c.ID }
func (c *Crop) kind() Kind  { return KindCrop }
func (c *Crop) spec() spec {
	return spec{merchant: c.Merchant, person: c.Person, owned: true, entries: []entry{
		CropsByPerson.entry(Plain(c.Person), Moment(c.Created)),
	}}
}
func (c *Crop) blob() []byte           { return c.Image }
func (c *Crop) setBlob(b []byte) error { c.Image = b; return nil }

// Template is a person's face in one embedding space, fused over all its crops.
type Template struct {
	Meta
	ID       TemplateID `json:"id"` // NewTemplateID(Person, Space)
	Merchant MerchantID `json:"merchant"`
	Person   PersonID   `json:"person"`
	Space    string     `json:"space"`
	Crops    int        `json:"crops"` // how many were fused
	Vector   []float32  `json:"-"`     // of unit length; the space says how many
}

func (t *Template) key() TemplateID { return t.ID }
func (t *Template) kind() Kind      { return KindTemplate }
func (t *Template) spec() spec {
	return spec{merchant: t.Merchant, person: t.Person, owned: true, entries: []entry{
		TemplatesBySpace.entry(Plain(t.Merchant), Plain(t.Space)),
		TemplatesByPerson.entry(Plain(t.Person)),
	}}
}
func (t *Template) blob() []byte { return appendFloats(nil, t.Vector) }
func (t *Template) setBlob(b []byte) (err error) {
	t.Vector, err = parseFloats(b)
	return err
}

// Purpose is what an uploaded image is for.
type Purpose string

const (
	PurposeSource Purpose = "upload" // the image that enrols
	PurposeTarget Purpose = "match"  // the image to compare with the template
	PurposeFrame  Purpose = "frame"  // a frame of a liveness session
)

// Ticket is the right to upload one image once.
type Ticket struct {
	Meta
	ID          TicketID   `json:"id"`
	Merchant    MerchantID `json:"merchant"`
	Person      PersonID   `json:"person"`
	Purpose     Purpose    `json:"purpose"`
	Image       ImageID    `json:"image"` // the image it will make
	Name        string     `json:"name"`  // as the client calls it
	ContentType string     `json:"contentType"`
	Expires     time.Time  `json:"expires"`
	Used        bool       `json:"used,omitempty"`
}

func (t *Ticket) key() TicketID { return t.ID }
func (t *Ticket) kind() Kind    { return KindTicket }
func (t *Ticket) spec() spec {
	return spec{merchant: t.Merchant, person: t.Person, owned: true, entries: []entry{
		TicketsByExpiry.entry(Moment(t.Expires)),
		TicketsByPerson.entry(Plain(t.Person), Moment(t.Created)),
	}}
}

// Image is an uploaded picture of a person.
type Image struct {
	Meta
	ID          ImageID    `json:"id"`
	Merchant    MerchantID `json:"merchant"`
	Person      PersonID   `json:"person"`
	Purpose     Purpose    `json:"purpose"`
	Name        string     `json:"name,omitempty"`
	ContentType string     `json:"contentType"`
	Processed   bool       `json:"processed,omitempty"` // a source: enrolled; a target: compared
	Expires     time.Time  `json:"expires,omitzero"`    // zero: kept
	Data        []byte     `json:"-"`
}

func (i *Image) key() ImageID { return i.ID }
func (i *Image) kind() Kind   { return KindImage }
func (i *Image) spec() spec {
	s := spec{merchant: i.Merchant, person: i.Person, owned: true, entries: []entry{
		ImagesByPerson.entry(Plain(i.Person), Plain(i.Purpose), Moment(i.Created)),
	}}
	if !i.Expires.IsZero() {
		s.entries = append(s.entries, ImagesByExpiry.entry(Moment(i.Expires)))
	}
	return s
}
func (i *Image) blob() []byte           { return i.Data }
func (i *Image) setBlob(b []byte) error { i.Data = b; return nil }

var errVector = errors.New("vector is not a whole number of float32")
