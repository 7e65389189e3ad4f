package store

import (
	"slices"
	"time"
)

// MigrationStage is where a change of the embedding space stands.
type MigrationStage string

const (
	MigrationEmbedding MigrationStage = "embedding" // people are being embedded in the new space; the old one answers
	MigrationSwitched  MigrationStage = "switched"  // the new space answers
	MigrationCancelled MigrationStage = "cancelled" // the old space answers on
)

// Migration is the change of a store from one embedding space to another: which
// of them answers, durably. A store has one, that of the last change, or none
// while nobody has changed the pack.
type Migration struct {
	Meta
	ID      MigrationID    `json:"id"` // TheMigration
	From    string         `json:"from"`
	To      string         `json:"to"`
	Stage   MigrationStage `json:"stage"`
	Begun   time.Time      `json:"begun"`
	Decided time.Time      `json:"decided,omitzero"` // when it was switched or cancelled
	Left    int            `json:"left,omitempty"`   // people whom the switch left behind
	// Drop names the spaces whose templates are still to be removed.
	Drop []string `json:"drop,omitempty"`
}

// TheMigration is the id of the one record of its kind.
const TheMigration MigrationID = "space"

// Begin has people go from one space to another. Templates of either are not to
// be dropped any more; those of a third, where an earlier change was going, are.
func (m *Migration) Begin(from, to string, now time.Time) {
	if m.Stage == MigrationEmbedding {
		m.drop(m.To)
	}
	m.From, m.To, m.Stage, m.Begun, m.Decided, m.Left = from, to, MigrationEmbedding, now, time.Time{}, 0
	m.Drop = slices.DeleteFunc(m.Drop, func(s string) bool { return s == from || s == to })
}

// Switch has the new space answer, without the people who are left behind.
func (m *Migration) Switch(left int, now time.Time) {
	m.Stage, m.Left, m.Decided = MigrationSwitched, left, now
	m.drop(m.From)
}

// Cancel has the old space answer on.
func (m *Migration) Cancel(now time.Time) {
	m.Stage, m.Decided = MigrationCancelled, now
	m.drop(m.To)
}

func (m *Migration) drop(space string) {
	if !slices.Contains(m.Drop, space) {
		m.Drop = append(m.Drop, space)
	}
}

// Serving is the space that answers.
func (m *Migration) Serving() string {
	if m.Stage == MigrationSwitched {
		return m.To
	}
	return m.From
}

func (m *Migration) key() MigrationID { return m.ID }
func (m *Migration) kind() Kind       { return KindMigration }
func (m *Migration) spec() spec       { return spec{} }
