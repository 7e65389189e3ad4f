package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// window is a span of time on some days of the week, as the API has it.
type window struct {
	Days  []string `json:"days"`
	Start string   `json:"start"`
	End   string   `json:"end"`
}

// grantBody bounds a grant.
type grantBody struct {
	Schedule []window `json:"schedule,omitempty"`
	From     string   `json:"from,omitempty"`
	Until    string   `json:"until,omitempty"`
}

// grant is a grant as the API shows it.
type grant struct {
	GrantID   string    `json:"grantId"`
	DoorID    string    `json:"doorId"`
	UserID    string    `json:"userId"`
	Schedule  []window  `json:"schedule,omitempty"`
	From      time.Time `json:"from,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	TimeZone  string    `json:"timeZone"`
	CreatedAt time.Time `json:"createdAt"`
}

var weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// when adds a span as mon-fri:08:00-17:30. The API says what is wrong with the times.
func (g *grantBody) when(span string) error {
	days, times, ok := strings.Cut(span, ":")
	start, end, both := strings.Cut(times, "-")
	if !ok || !both {
		return fmt.Errorf("%q is not as mon-fri:08:00-17:30", span)
	}
	w := window{Start: start, End: end}
	for part := range strings.SplitSeq(days, ",") {
		first, last, isRange := strings.Cut(part, "-")
		i, j := dayNumber(first), dayNumber(last)
		if !isRange {
			j = i
		}
		if i < 0 || j < 0 {
			return fmt.Errorf("%q is no day or days as mon, mon-fri or sat,sun", part)
		}
		for ; ; i = (i + 1) % len(weekdays) { // fri-mon goes over the end of the week
			if !slices.Contains(w.Days, weekdays[i]) {
				w.Days = append(w.Days, weekdays[i])
			}
			if i == j {
				break
			}
		}
	}
	g.Schedule = append(g.Schedule, w)
	return nil
}

// dayNumber is the place of a day in weekdays, by its first three letters or more; -1
// where it is none.
func dayNumber(name string) int {
	name = strings.ToLower(strings.TrimSpace(name))
	return slices.IndexFunc(weekdays, func(d string) bool { return len(name) >= 3 && strings.HasPrefix(d, name) })
}

// words is when a grant holds, as --when, --from and --until take it.
func (g *grant) words() string {
	var all []string
	for _, w := range g.Schedule {
		days := make([]string, len(w.Days))
		for i, d := range w.Days {
			days[i] = d[:3]
		}
		all = append(all, strings.Join(days, ",")+":"+w.Start+"-"+w.End)
	}
	if len(all) == 0 {
		all = append(all, "at any time")
	} else {
		all = append(all, g.TimeZone)
	}
	if !g.From.IsZero() {
		all = append(all, "from "+g.From.Format(time.RFC3339))
	}
	if !g.Until.IsZero() {
		all = append(all, "until "+g.Until.Format(time.RFC3339))
	}
	return strings.Join(all, " ")
}

// listGrants shows who may pass a door, page after page.
func listGrants(ctx context.Context, out io.Writer, c *client, door string, asJSON bool) error {
	list := struct {
		Grants     []grant `json:"grants"`
		NextCursor string  `json:"nextCursor,omitempty"`
	}{Grants: []grant{}}
	for more := true; more; more = list.NextCursor != "" {
		all := list.Grants
		path := "/doors/" + url.PathEscape(door) + "/grants?limit=100&cursor=" + url.QueryEscape(list.NextCursor)
		list.Grants, list.NextCursor = nil, ""
		if err := c.call(ctx, "GET", path, nil, &list); err != nil {
			return err
		}
		list.Grants = append(all, list.Grants...)
	}
	if asJSON {
		return printJSON(out, list)
	}
	if len(list.Grants) == 0 {
		fmt.Fprintln(out, "nobody may pass (cypherface door grant DOOR USER lets somebody)")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, g := range list.Grants {
		fmt.Fprintf(w, "%s\t%s\n", g.UserID, g.words())
	}
	return w.Flush()
}

// siteZone shows the time zone of a site, or gives it another one.
func siteZone(ctx context.Context, out io.Writer, c *client, id string, zone []string, asJSON bool) error {
	type site struct {
		SiteID   string `json:"siteId"`
		Name     string `json:"name"`
		TimeZone string `json:"timeZone,omitempty"`
	}
	var list struct {
		Sites []site `json:"sites"`
	}
	if err := c.call(ctx, "GET", "/sites", nil, &list); err != nil {
		return err
	}
	if id != "" {
		list.Sites = slices.DeleteFunc(list.Sites, func(s site) bool { return s.SiteID != id })
	}
	switch {
	case len(list.Sites) == 0:
		return fmt.Errorf("there is no such site; a box has one from its first door on (cypherface door add)")
	case len(list.Sites) > 1:
		return fmt.Errorf("there are several sites: name one with --site")
	}
	s := list.Sites[0]
	if len(zone) > 0 {
		if err := c.call(ctx, "PUT", "/sites/"+s.SiteID, map[string]string{"timeZone": zone[0]}, &s); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(out, s)
	}
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	fmt.Fprintf(out, "schedules of site %s are read in %s\n", s.Name, s.TimeZone)
	return nil
}
