package client

import (
	"context"
	"time"
)

// Door is a camera, and what it takes to pass before it.
type Door struct {
	DoorID string     `json:"doorId"`
	SiteID string     `json:"siteId"`
	Name   string     `json:"name"`
	Camera string     `json:"camera"` // URL, without credentials
	Policy DoorPolicy `json:"policy"`
	State  string     `json:"state"` // of its camera at the box that answers: live, fault, starting
	Ask    string     `json:"ask"`   // of the person there, for a screen
	Move   string     `json:"move"`  // … in one word, where it is part of a challenge
}

// DoorPolicy is what a door asks for, with the defaults filled in.
type DoorPolicy struct {
	Liveness      string  `json:"liveness"`        // off, passive, active
	FPIR          float64 `json:"fpir"`            // share of strangers who may be taken for somebody
	Frames        int     `json:"frames"`          // agreeing ones that make a decision
	CoolDown      float64 `json:"coolDownSeconds"` // out of sight for so long, somebody counts as new
	SecondFactor  bool    `json:"secondFactor"`
	AllowWhenFull bool    `json:"allowWhenFull"`
}

// DoorRequest is what to set of a door; nil, or an empty string, is not sent.
type DoorRequest struct {
	SiteID string             `json:"siteId,omitempty"` // of a new door; needed where there are several sites
	Name   string             `json:"name,omitempty"`
	Camera *string            `json:"camera,omitempty"` // a pointer to "" takes it away
	Policy *DoorPolicyRequest `json:"policy,omitempty"`
}

// DoorPolicyRequest is what to set of a policy; nil, or an empty string, is not sent.
type DoorPolicyRequest struct {
	Liveness      string   `json:"liveness,omitempty"`
	FPIR          *float64 `json:"fpir,omitempty"`
	Frames        *int     `json:"frames,omitempty"`
	CoolDown      *float64 `json:"coolDownSeconds,omitempty"`
	SecondFactor  *bool    `json:"secondFactor,omitempty"`
	AllowWhenFull *bool    `json:"allowWhenFull,omitempty"`
}

// ScheduleWindow is a span of time that begins on some days of the week.
type ScheduleWindow struct {
	Days  []string `json:"days"`  // monday, …
	Start string   `json:"start"` // HH:MM
	End   string   `json:"end"`   // exclusive, to 24:00; before Start: on the next day
}

// GrantRequest bounds a grant; the zero value does not. A Schedule that is empty and
// not nil is refused, and does not mean at any time.
type GrantRequest struct {
	Schedule []ScheduleWindow `json:"schedule,omitzero"`
	From     *time.Time       `json:"from,omitempty"`
	Until    *time.Time       `json:"until,omitempty"` // exclusive
}

// Grant lets somebody through a door.
type Grant struct {
	GrantID   string           `json:"grantId"`
	DoorID    string           `json:"doorId"`
	UserID    string           `json:"userId"`
	Schedule  []ScheduleWindow `json:"schedule"` // empty: at any time of the week
	From      time.Time        `json:"from"`
	Until     time.Time        `json:"until"`    // exclusive
	TimeZone  string           `json:"timeZone"` // that Schedule is read in
	CreatedAt time.Time        `json:"createdAt"`
}

// GrantPage is a page of grants.
type GrantPage struct {
	Success    bool    `json:"success"`
	Grants     []Grant `json:"grants"`
	NextCursor string  `json:"nextCursor"`
}

// CreateDoor makes a door. The credential must be a token of an owner or administrator,
// as for all that changes doors and grants.
func (c *Client) CreateDoor(ctx context.Context, r DoorRequest) (Door, error) {
	return get[Door](ctx, c, "createDoor", call{json: r})
}

// Doors lists all doors, oldest first.
func (c *Client) Doors(ctx context.Context) ([]Door, error) {
	out, err := get[struct{ Doors []Door }](ctx, c, "listDoors", call{})
	return out.Doors, err
}

// Door shows how a door is.
func (c *Client) Door(ctx context.Context, doorID string) (Door, error) {
	return get[Door](ctx, c, "showDoor", call{path: []string{"doorId", doorID}})
}

// ChangeDoor replaces the fields that are set, of the policy too.
func (c *Client) ChangeDoor(ctx context.Context, doorID string, r DoorRequest) (Door, error) {
	return get[Door](ctx, c, "changeDoor", call{path: []string{"doorId", doorID}, json: r})
}

// DeleteDoor removes a door with its grants.
func (c *Client) DeleteDoor(ctx context.Context, doorID string) error {
	return c.done(ctx, "deleteDoor", call{path: []string{"doorId", doorID}})
}

// GrantDoor lets a user through a door: at any time with the zero request. It takes the
// place of what he had for the door, an earlier schedule too.
func (c *Client) GrantDoor(ctx context.Context, doorID, userID string, r GrantRequest) (Grant, error) {
	out, err := get[struct{ Grant Grant }](ctx, c, "grantDoor", call{path: []string{"doorId", doorID, "userId", userID}, json: r})
	return out.Grant, err
}

// UngrantDoor lets a user through a door no longer.
func (c *Client) UngrantDoor(ctx context.Context, doorID, userID string) error {
	return c.done(ctx, "ungrantDoor", call{path: []string{"doorId", doorID, "userId", userID}})
}

// Grants lists who may pass a door, a page at a time.
func (c *Client) Grants(ctx context.Context, doorID, cursor string) (GrantPage, error) {
	return get[GrantPage](ctx, c, "listGrants", call{path: []string{"doorId", doorID}, query: query("cursor", cursor)})
}

// UserGrants lists through which doors a user may pass.
func (c *Client) UserGrants(ctx context.Context, userID string) ([]Grant, error) {
	out, err := get[GrantPage](ctx, c, "listUserGrants", call{path: []string{"userId", userID}})
	return out.Grants, err
}
