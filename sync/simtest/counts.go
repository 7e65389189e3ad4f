package simtest

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// Counts says what a run has seen.
type Counts struct {
	Steps, Boxes, Connections, Crashes, Restores, Clones                       int
	Decisions, Events, Revisions, Snapshots, Holds, Edits, Conflicts, Erasures int
	Thefts                                                                     int
}

// Add adds what another run has seen.
func (c *Counts) Add(d Counts) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(d)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// String is "12 steps, 3 boxes, …".
func (c Counts) String() string {
	var parts []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		parts = append(parts, fmt.Sprintf("%d %s", v.Field(i).Int(), strings.Map(unicode.ToLower, v.Type().Field(i).Name)))
	}
	return strings.Join(parts, ", ")
}

// parseCounts reads what String has written.
func parseCounts(s string) (c Counts) {
	v := reflect.ValueOf(&c).Elem()
	for i, part := range strings.Split(strings.TrimSpace(s), ", ") {
		var n int64
		if _, err := fmt.Sscanf(part, "%d", &n); err == nil && i < v.NumField() {
			v.Field(i).SetInt(n)
		}
	}
	return c
}

// ids24 finds ids in texts.
var ids24 = regexp.MustCompile(`[0-9a-f]{24}`)
