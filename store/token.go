package store

import "time"

// Retired is a token of the API that must not be used any more before its time is
// over: it was exchanged for a new one, or stolen.
type Retired struct {
	Meta
	ID       TokenID    `json:"id"` // of the token, or of the family it began
	Merchant MerchantID `json:"merchant"`
	Family   bool       `json:"family,omitempty"` // all that came of it are retired too
	Expires  time.Time  `json:"expires"`          // nobody asks any more
}

func (r *Retired) key() TokenID { return r.ID }
func (r *Retired) kind() Kind   { return KindRetired }
func (r *Retired) spec() spec {
	return spec{merchant: r.Merchant, owned: true, entries: []entry{RetiredByExpiry.entry(Moment(r.Expires))}}
}
