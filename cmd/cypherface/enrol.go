package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

func enrolCommand() command {
	return command{
		name: "enrol", args: "[flags] IMAGE… | --from PEOPLE",
		summary: "give a person a face the box knows, or many people at once",
		help: `Registers a person and enrols the face in one to ten images of it; several, in
different light and from slightly different sides, make recognition better.
With --user the person is known already, and the images replace those of before
(--add: join them). With --camera it is whoever stands before the box's camera
within a minute and a half.

  cypherface enrol --name "Ada Lovelace" --email ada@example.org a.jpg b.jpg
  cypherface enrol --name "Ada Lovelace" --email ada@example.org --camera
  cypherface enrol --user 5f0c0ffee0c0ffee0c0ffee0 --add c.jpg
  cypherface enrol --name "Ada Lovelace" --email ada@example.org --consent en a.jpg

With --from it is everybody in a table (CSV with the columns firstname, lastname,
email, phone, externalId and image, or images separated by |), an archive (ZIP) with
a table and its pictures, or a folder with a folder of pictures for each person
(called by the externalId or the name) or one picture for each. Nobody is enrolled
twice: not who is known by externalId or e-mail, and not the same pictures. The work
goes on through a restart of the box. The report names what was refused, why, and
who may be somebody that is enrolled already, or another of the same upload; so does
that of a check. Exit status: 0 all are enrolled, 1 somebody was refused.

  cypherface enrol --from people.csv --check       say what would be, enrol nobody
  cypherface enrol --from people.zip --report refused.csv
  cypherface enrol --from people.zip --consent en  all of them agreed to the current text
  cypherface enrol --from staff/ --env production
  cypherface enrol --job ID                        wait for one that was begun
  cypherface enrol --cancel ID
`,
		run: runEnrol,
	}
}

// enrolment is the answer of enrol.
type enrolment struct {
	UserID      string   `json:"userId"`
	Images      int      `json:"images"` // that the template is made of
	Faces       int      `json:"faces"`  // in the image that had most
	Warnings    []string `json:"warnings,omitempty"`
	DuplicateOf string   `json:"possibleDuplicateOf,omitempty"`
}

func runEnrol(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := enrolCommand().flags(t)
	box := addBoxFlags(fs, t)
	name := fs.String("name", "", "first and last `name` of a new person")
	email := fs.String("email", "", "e-mail `address` of a new person")
	phone := fs.String("phone", "", "phone `number` of a new person")
	external := fs.String("external-id", "", "your own `id` of a new person")
	user := fs.String("user", "", "`id` of a person who is registered already")
	add := fs.Bool("add", false, "keep the images of earlier enrolments")
	consent := fs.String("consent", "", "record that the person agreed to the current text in this `language`, or any")
	camera := fs.Bool("camera", false, "enrol whom the box's camera sees")
	var many bulkFlags
	fs.StringVar(&many.from, "from", "", "`file` (.csv, .zip) or folder with many people")
	fs.BoolVar(&many.check, "check", false, "with --from: say what would be, and enrol nobody")
	fs.BoolVar(&many.update, "update", false, "with --from: give who is known already the new face")
	fs.StringVar(&many.report, "report", "", "with --from: write the report to this `file`, as a table")
	fs.StringVar(&many.job, "job", "", "wait for the `id` of people who are being enrolled")
	cancel := fs.String("cancel", "", "end the `id` of people who are being enrolled; who is enrolled stays")
	files, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if many.from != "" || many.job != "" || *cancel != "" {
		if len(files) > 0 || *camera || *user != "" || *name != "" || many.from != "" && many.job != "" {
			fs.Usage()
			return errUsage
		}
		many.consent = *consent
		return runEnrolMany(ctx, t, box, many, *cancel, *asJSON)
	}
	if *camera == (len(files) > 0) || (*user == "") == (*name == "") {
		fs.Usage()
		return errUsage
	}
	var images *pictures // nil: the camera
	if !*camera {
		if images, err = readPictures(files, map[string]string{"add": fmt.Sprint(*add)}); err != nil {
			return err
		}
	}
	c, err := box.connect(ctx, t, true)
	if err != nil {
		return err
	}
	defer c.Close()
	var e enrolment
	if *user != "" {
		e, err = c.enrol(ctx, t, *user, *consent, images)
	} else {
		first, last := cutLast(*name)
		e, err = c.enrolNew(ctx, t, *consent, images, map[string]string{
			"firstname": first, "lastname": last, "email": *email, "phone": *phone, "externalId": *external,
		})
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, e)
	}
	e.print(t)
	return nil
}

// runEnrolMany enrols many people, or ends what was begun.
func runEnrolMany(ctx context.Context, t *terminal, box boxFlags, f bulkFlags, cancel string, asJSON bool) error {
	c, err := box.connect(ctx, t, true)
	if err != nil {
		return err
	}
	defer c.Close()
	if cancel == "" {
		return c.enrolMany(ctx, t, f, asJSON)
	}
	var out struct {
		Message string `json:"message"`
	}
	if err := c.call(ctx, "DELETE", "/bulk/"+url.PathEscape(cancel)+"/", nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out)
	}
	fmt.Fprintln(t.out, out.Message)
	return nil
}

// enrolNew registers a person and enrols the face. Where that fails nobody stays
// behind, so that the same line may be tried again.
func (c *client) enrolNew(ctx context.Context, t *terminal, consent string, images *pictures, fields map[string]string) (e enrolment, err error) {
	id, err := c.register(ctx, fields)
	if err != nil {
		return e, err
	}
	if e, err = c.enrol(ctx, t, id, consent, images); err != nil {
		err = errors.Join(err, c.call(context.WithoutCancel(ctx), "DELETE", "/users/"+id, nil, &struct{}{}))
	}
	return e, err
}

// enrol gives a person the face in the images, or in what the camera sees, and
// records before that he agreed, where consent names a language or any.
func (c *client) enrol(ctx context.Context, t *terminal, id, consent string, images *pictures) (e enrolment, err error) {
	if consent != "" {
		language := consent
		if consent == "any" {
			language = ""
		}
		if _, err := c.giveConsent(ctx, id, "", "", language, ""); err != nil {
			return e, err
		}
	}
	path := "/control/enrol/" + url.PathEscape(id)
	if images == nil {
		err = c.look(ctx, t, path, &e)
	} else {
		err = c.call(ctx, "POST", path, images, &e)
	}
	return e, err
}

func (e *enrolment) print(t *terminal) {
	fmt.Fprintf(t.out, "enrolled  %s  from %d image%s\n", e.UserID, e.Images, plural(e.Images))
	if len(e.Warnings) > 0 {
		fmt.Fprintf(t.out, "could be better: %s\n", strings.Join(e.Warnings, ", "))
	}
	if e.DuplicateOf != "" {
		fmt.Fprintf(t.out, "looks like %s, who is enrolled already (cypherface users show %s)\n", e.DuplicateOf, e.DuplicateOf)
	}
}

// register makes a person and returns the id.
func (c *client) register(ctx context.Context, fields map[string]string) (string, error) {
	var out struct{ UserID string }
	err := c.call(ctx, "POST", "/register/", fields, &out)
	return out.UserID, err
}

// cutLast splits a name before its last word.
func cutLast(name string) (first, last string) {
	name = strings.TrimSpace(name)
	i := strings.LastIndexByte(name, ' ')
	if i < 0 {
		return name, ""
	}
	return strings.TrimSpace(name[:i]), name[i+1:]
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
