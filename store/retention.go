package store

import "time"

// Retention is how long a merchant keeps what, in days. Nil is the default of the
// class, which internal/rights knows; 0 keeps it for as long as the person is there.
type Retention struct {
	SourceImages *int `json:"sourceImages,omitempty"` // pictures that enrolled, beside the crop that is kept of each
	Crops        *int `json:"crops,omitempty"`        // what a later network embeds anew
	Inactive     *int `json:"inactive,omitempty"`     // people who were not seen
	Withdrawn    *int `json:"withdrawn,omitempty"`    // people who took their consent back and have no other way in
	Unenrolled   *int `json:"unenrolled,omitempty"`   // people who never had a face
	Reviews      *int `json:"reviews,omitempty"`      // that are settled

	// InactiveSince is when Inactive was set last. Nobody counts as not seen for
	// longer than that: what was before, nobody may have noted.
	InactiveSince time.Time `json:"inactiveSince,omitzero"`
}
