package store

import "time"

// Site is a place with doors, and the scope in which boxes share people.
type Site struct {
	Meta
	ID       SiteID     `json:"id"`
	Merchant MerchantID `json:"merchant"`
	Name     string     `json:"name"`
	TimeZone string     `json:"timeZone,omitempty"` // IANA name that schedules are read in; empty: UTC
	Spaces   []string   `json:"spaces,omitempty"`   // embedding spaces its doors use
	People   SitePeople `json:"people,omitempty"`   // who is known at its boxes
	Pepper   []byte     `json:"pepper,omitempty"`   // that the keys of the site are hashed under, see Key.Site
}

// SitePeople says who of a merchant's people is known at the boxes of a site.
type SitePeople string

const (
	PeopleAll     SitePeople = ""        // everybody
	PeopleGranted SitePeople = "granted" // those with a grant for one of its doors
)

func (s *Site) key() SiteID { return s.ID }
func (s *Site) kind() Kind  { return KindSite }
func (s *Site) spec() spec {
	return spec{merchant: s.Merchant, owned: true, entries: []entry{
		SitesByMerchant.entry(Plain(s.Merchant), Moment(s.Created)),
	}}
}

// Door is a camera, a relay and the policy that stands between them.
type Door struct {
	Meta
	ID       DoorID     `json:"id"`
	Merchant MerchantID `json:"merchant"`
	Site     SiteID     `json:"site"`
	Name     string     `json:"name"`
	Camera   string     `json:"camera"`           // URL for camera.Open
	Relay    string     `json:"relay,omitempty"`  // URL of the actuator; empty: none
	Device   DeviceID   `json:"device,omitempty"` // the box that it hangs on; empty: any that has it
	Policy   DoorPolicy `json:"policy"`
}

// DoorPolicy is what it takes to pass a door. Zero values mean the defaults given.
type DoorPolicy struct {
	FPIR     float64       `json:"fpir,omitempty"`     // false positive identification rate at the present gallery size; 1e-3
	Frames   int           `json:"frames,omitempty"`   // agreeing frames before a decision; 3
	CoolDown time.Duration `json:"coolDown,omitempty"` // after a decision about a person; 5 s
	OpenFor  time.Duration `json:"openFor,omitempty"`  // how long the relay holds; 3 s
	// SecondFactor asks for a PIN, card or code first, and then verifies 1:1.
	SecondFactor bool `json:"secondFactor,omitempty"`
	// AllowWhenFull lets decisions go on when the space for events is spent.
	AllowWhenFull bool `json:"allowWhenFull,omitempty"`
	// Liveness is what proof of life the door asks for: read it by Asks.
	Liveness DoorLiveness `json:"liveness,omitempty"`
}

// DoorLiveness is the proof of life that a door asks of whom it recognises.
type DoorLiveness string

const (
	LivenessOff     DoorLiveness = "off"     // none: a picture of somebody passes for him
	LivenessPassive DoorLiveness = "passive" // natural motion; a weak guarantee, see docs/liveness.md
	LivenessActive  DoorLiveness = "active"  // turns that the door asks for
)

// Valid says whether l is one of the three.
func (l DoorLiveness) Valid() bool {
	return l == LivenessOff || l == LivenessPassive || l == LivenessActive
}

// Asks is the proof of life that a policy asks for: LivenessActive where it names
// none, as doors that are older than the choice do, or a word of a newer program.
func (p *DoorPolicy) Asks() DoorLiveness {
	if !p.Liveness.Valid() {
		return LivenessActive
	}
	return p.Liveness
}

func (d *Door) key() DoorID { return d.ID }
func (d *Door) kind() Kind  { return KindDoor }
func (d *Door) spec() spec {
	return spec{merchant: d.Merchant, owned: true, entries: []entry{
		DoorsByMerchant.entry(Plain(d.Merchant), Moment(d.Created)),
		DoorsBySite.entry(Plain(d.Site), Moment(d.Created)),
	}}
}

// Grant lets one person through one door. Nobody walks in because he is enrolled.
type Grant struct {
	Meta
	ID       GrantID    `json:"id"`
	Merchant MerchantID `json:"merchant"`
	Person   PersonID   `json:"person"`
	Door     DoorID     `json:"door"`
	Schedule []Window   `json:"schedule,omitempty"` // empty: at any time
	From     time.Time  `json:"from,omitzero"`      // zero: from ever
	Until    time.Time  `json:"until,omitzero"`     // zero: for ever; exclusive
}

// Window is a span of minutes of the day on some days of the week.
type Window struct {
	Days  []time.Weekday `json:"days"`  // on which the window begins
	Start int            `json:"start"` // minute of the day, 0..1439
	End   int            `json:"end"`   // exclusive; at or before Start: on the next day
}

func (g *Grant) key() GrantID { return g.ID }
func (g *Grant) kind() Kind   { return KindGrant }
func (g *Grant) spec() spec {
	return spec{merchant: g.Merchant, person: g.Person, owned: true, entries: []entry{
		GrantsByPerson.entry(Plain(g.Person), Plain(g.Door)),
		GrantsByDoor.entry(Plain(g.Door), Plain(g.Person)),
	}}
}

// Device is a box as the others know it.
type Device struct {
	Meta
	ID        DeviceID   `json:"id"`
	Merchant  MerchantID `json:"merchant"`
	Site      SiteID     `json:"site,omitempty"`
	Name      string     `json:"name"`
	PublicKey []byte     `json:"publicKey,omitempty"` // Ed25519, 32 bytes
	Epoch     uint64     `json:"epoch"`               // of its event journal
	Status    Status     `json:"status"`
	LastSeen  time.Time  `json:"lastSeen,omitzero"`
}

func (d *Device) key() DeviceID { return d.ID }
func (d *Device) kind() Kind    { return KindDevice }
func (d *Device) spec() spec {
	return spec{merchant: d.Merchant, owned: true, entries: []entry{
		DevicesByMerchant.entry(Plain(d.Merchant), Moment(d.Created)),
	}}
}
