package store

import "time"

// Claim is the right of one box to join a site. The code itself is never stored:
// the id is a hash of the secret in it.
type Claim struct {
	Meta
	ID       ClaimID    `json:"id"`
	Merchant MerchantID `json:"merchant"`
	Site     SiteID     `json:"site"`
	Name     string     `json:"name,omitempty"` // of the box that is to come
	Expires  time.Time  `json:"expires"`
	Used     time.Time  `json:"used,omitzero"` // when a box joined with it
	Device   DeviceID   `json:"device,omitempty"`
}

func (c *Claim) key() ClaimID { return c.ID }
func (c *Claim) kind() Kind   { return KindClaim }
func (c *Claim) spec() spec {
	return spec{merchant: c.Merchant, owned: true, entries: []entry{
		ClaimsByMerchant.entry(Plain(c.Merchant), Moment(c.Created)),
	}}
}
