package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"
)

func doorCommand() command {
	return command{
		name: "door", args: "list|add|set|remove|grant|ungrant|grants|zone [flags] [NAME|DOOR|ZONE] [USER]",
		summary: "doors, what they ask for, and who may pass them",
		help: `list       the doors with their policies, and how their cameras are
add        a door with a name of yours: a camera, and what it takes to pass before it
set        changes what the flags say
remove     the door and its grants
grant      lets a person through a door, at any time or at some; ungrant takes it back
grants     who may pass a door, and when
zone       the time zone that schedules are read in, or another one

grant is given whole: without --when an earlier schedule is gone. --when may be there
several times; a span whose end is before its start goes on into the next day, and
00:00-24:00 is a whole day. Times are read in the zone of the site, UTC unless it
has one.

--liveness is the proof of life that a door takes of whom it recognises: active, the
default, asks for turns of the head; passive looks at natural motion alone and lets a
bent print, a mask or a display pass in many attempts; off lets a picture of somebody
pass for him.

  cypherface door add Front --camera 'v4l2:?id=usb-0000:00:14.0-1'
  cypherface door set 5f0c0ffee0c0ffee0c0ffee0 --liveness passive
  cypherface door set 5f0c0ffee0c0ffee0c0ffee0 --second-factor
  cypherface door grant 5f0c0ffee0c0ffee0c0ffee0 5f0c0ffee0c0ffee0c0ffee1
  cypherface door grant 5f0c0ffee0c0ffee0c0ffee0 5f0c0ffee0c0ffee0c0ffee1 --when mon-fri:08:00-17:30 --when sat,sun:09:00-12:00
  cypherface door grants 5f0c0ffee0c0ffee0c0ffee0
  cypherface door zone Europe/Berlin
`,
		run: runDoor,
	}
}

// door is a door as the API shows it.
type door struct {
	DoorID string         `json:"doorId"`
	SiteID string         `json:"siteId"`
	Name   string         `json:"name"`
	Camera string         `json:"camera,omitempty"`
	Policy map[string]any `json:"policy"`
	State  string         `json:"state,omitempty"`
	Ask    string         `json:"ask,omitempty"`
}

func runDoor(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := doorCommand().flags(t)
	box := addBoxFlags(fs, t)
	fs.String("name", "", "set: another `name`")
	fs.String("camera", "", "`URL` of the camera; none: is no camera")
	fs.String("site", "", "add, zone: `id` of the site; not needed where there is only one")
	fs.String("liveness", "", "off, passive or `active`")
	fs.Int("frames", 0, "agreeing `frames` that make a decision")
	fs.Float64("fpir", 0, "`share` of strangers who may be taken for somebody")
	fs.Bool("second-factor", false, "a PIN, card or code first, and the face with it; =false: the face alone")
	fs.Float64("cool-down", 0, "out of sight for so many `seconds`, somebody counts as new")
	var g grantBody
	fs.Func("when", "grant: only then, a `span` as mon-fri:08:00-17:30 or sat,sun:22:00-06:00; may be repeated", g.when)
	fs.StringVar(&g.From, "from", "", "grant: not before this `time`, as 2026-05-01T08:00:00Z")
	fs.StringVar(&g.Until, "until", "", "grant: not from this `time` on")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	want := map[string]int{"list": 1, "add": 2, "set": 2, "remove": 2, "grant": 3, "ungrant": 3, "grants": 2, "zone": 2}
	if len(words) == 0 || len(words) != want[words[0]] && !(words[0] == "zone" && len(words) == 1) {
		return badUsage(fs)
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	switch words[0] {
	case "list":
		return listDoors(ctx, t.out, c, *asJSON)
	case "add", "set":
		return putDoor(ctx, t.out, c, fs, words, *asJSON)
	case "grants":
		return listGrants(ctx, t.out, c, words[1], *asJSON)
	case "zone":
		return siteZone(ctx, t.out, c, fs.Lookup("site").Value.String(), words[1:], *asJSON)
	}
	var body any
	method, path := "DELETE", "/doors/"+url.PathEscape(words[1])
	if words[0] == "grant" {
		method, body = "PUT", &g
	}
	if len(words) == 3 {
		path += "/grants/" + url.PathEscape(words[2])
	}
	var done struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Grant   *grant `json:"grant,omitempty"`
	}
	if err := c.call(ctx, method, path, body, &done); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, done)
	}
	fmt.Fprintln(t.out, done.Message)
	return nil
}

func listDoors(ctx context.Context, out io.Writer, c *client, asJSON bool) error {
	var list struct {
		Doors []door `json:"doors"`
	}
	if err := c.call(ctx, "GET", "/doors", nil, &list); err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, list)
	}
	if len(list.Doors) == 0 {
		fmt.Fprintln(out, "no doors (cypherface door add NAME --camera URL makes one)")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range list.Doors {
		fmt.Fprintf(w, "%s\t%s\tliveness %v\t%s\t%s\t%s\n", d.DoorID, d.Name, d.Policy["liveness"], d.Camera, d.State, d.Ask)
	}
	return w.Flush()
}

// putDoor makes a door or changes one by the flags that were given.
func putDoor(ctx context.Context, out io.Writer, c *client, fs *flag.FlagSet, words []string, asJSON bool) error {
	policy, body := map[string]any{}, map[string]any{}
	inPolicy := map[string]string{"liveness": "liveness", "frames": "frames", "fpir": "fpir", "cool-down": "coolDownSeconds", "second-factor": "secondFactor"}
	inBody := map[string]string{"name": "name", "camera": "camera", "site": "siteId"}
	fs.Visit(func(f *flag.Flag) {
		if field, ok := inPolicy[f.Name]; ok {
			policy[field] = f.Value.(flag.Getter).Get()
		} else if field, ok := inBody[f.Name]; ok {
			body[field] = f.Value.String()
		}
	})
	method, path := "PUT", "/doors/"+url.PathEscape(words[1])
	if words[0] == "add" {
		method, path, body["name"] = "POST", "/doors", words[1]
	}
	if len(policy) > 0 {
		body["policy"] = policy
	}
	var d door
	if err := c.call(ctx, method, path, body, &d); err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, d)
	}
	fmt.Fprintf(out, "%s %s, liveness %v, camera %s\n", d.DoorID, d.Name, d.Policy["liveness"], d.Camera)
	return nil
}
