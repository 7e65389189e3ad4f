package store

import "time"

// Sighting is what a box remembers of how a person is recognised, so that it can
// tell who does not come any more and whose face has grown away from his template.
// It is written now and then, not with each decision: LastSeen is true to the hour,
// and what came since the last writing is lost with a cut. Its changes are no
// events, as it only sums up some.
type Sighting struct {
	Meta
	ID       PersonID   `json:"id"` // the person's
	Merchant MerchantID `json:"merchant"`
	Person   PersonID   `json:"person"`
	LastSeen time.Time  `json:"lastSeen,omitzero"`

	// Similarities, 0..100, of his matches with the template of Template: the mean of
	// the first BaseMatches, and a mean in which older ones fade.
	Template time.Time `json:"template,omitzero"` // EnrolledAt of the person then
	Matches  int       `json:"matches,omitempty"`
	Base     float64   `json:"base,omitempty"`
	Recent   float64   `json:"recent,omitempty"`
}

func (s *Sighting) key() PersonID { return s.ID }
func (s *Sighting) kind() Kind    { return KindSighting }
func (s *Sighting) spec() spec {
	return spec{merchant: s.Merchant, person: s.Person, owned: true, silent: true, entries: []entry{
		SightingsByPerson.entry(Plain(s.Person)),
	}}
}
