package main

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/store"
)

// bulkFlags say what is to be done with many people.
type bulkFlags struct {
	from, job, report string
	consent           string // language of the text that all agreed to, or any
	check, update     bool
}

// bulkReport is what enrol --from prints as JSON.
type bulkReport struct {
	Bulk    api.BulkJob     `json:"bulk"`
	Entries []api.BulkEntry `json:"entries"`
}

// enrolMany enrols the people of a file or folder, or looks at what was begun.
func (c *client) enrolMany(ctx context.Context, t *terminal, f bulkFlags, asJSON bool) error {
	var out struct{ Bulk api.BulkJob }
	var err error
	if f.job != "" {
		err = c.call(ctx, "GET", "/bulk/"+f.job+"/", nil, &out)
	} else {
		out.Bulk, err = c.sendMany(ctx, t, f)
	}
	if err != nil {
		return err
	}
	return c.followBulk(ctx, t, out.Bulk, f.report, asJSON)
}

// followBulk waits for the end of the work, and shows what came of it.
func (c *client) followBulk(ctx context.Context, t *terminal, job api.BulkJob, report string, asJSON bool) error {
	job, err := c.awaitBulk(ctx, t, job)
	if err != nil {
		return err
	}
	r := bulkReport{Bulk: job}
	var answer struct{ Entries []api.BulkEntry }
	if err := c.call(ctx, "GET", "/bulk/"+string(job.ID)+"/report/", nil, &answer); err != nil {
		return err
	}
	r.Entries = answer.Entries
	if report != "" {
		if err := c.saveReport(ctx, job.ID, report); err != nil {
			return err
		}
	}
	if asJSON {
		err = printJSON(t.out, r)
	} else {
		r.print(t.out)
	}
	if err == nil && (job.State != store.BulkDone || job.Refused > 0) {
		err = errNo
	}
	return err
}

// sendMany sends the archive, which it makes on the way where the source is none.
func (c *client) sendMany(ctx context.Context, t *terminal, f bulkFlags) (job api.BulkJob, err error) {
	archive, err := openPeople(f.from)
	if err != nil {
		return job, err
	}
	defer archive.Close()
	path := "/bulk/enrol/?existing=skip"
	if f.update {
		path = "/bulk/enrol/?existing=update"
	}
	if f.check {
		path += "&check=true"
	}
	if f.consent != "" {
		path += "&consent=" + url.QueryEscape(f.consent)
	}
	p := newProgress(t.err, "sending, MiB")
	defer p.end()
	var sent int64
	var out struct{ Bulk api.BulkJob }
	err = c.call(ctx, "POST", path, upload{&tellingReader{archive, func(n int) {
		sent += int64(n)
		p.step(int(sent>>20), 0)
	}}, "application/zip"}, &out)
	return out.Bulk, err
}

// tellingReader tells how much is read.
type tellingReader struct {
	io.Reader
	told func(n int)
}

func (r *tellingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.told(n)
	return n, err
}

// awaitBulk waits for the end of the work. When ctx ends, a daemon goes on.
func (c *client) awaitBulk(ctx context.Context, t *terminal, job api.BulkJob) (api.BulkJob, error) {
	for _, note := range job.Notes {
		fmt.Fprintln(t.err, "note:", note)
	}
	p := newProgress(t.err, "people")
	defer p.end()
	for job.State == store.BulkRunning {
		p.step(job.Done, job.People)
		select {
		case <-ctx.Done():
			p.end()
			if c.close == nil {
				fmt.Fprintf(t.err, "the box goes on; cypherface enrol --job %s shows how far it is, --cancel %s ends it\n", job.ID, job.ID)
			} else {
				fmt.Fprintf(t.err, "the rest is enrolled when the box starts; or go on with cypherface enrol --job %s\n", job.ID)
			}
			return job, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		var out struct{ Bulk api.BulkJob }
		if err := c.call(ctx, "GET", "/bulk/"+string(job.ID)+"/", nil, &out); err != nil {
			if ctx.Err() != nil {
				continue
			}
			return job, err
		}
		job = out.Bulk
	}
	return job, nil
}

// saveReport writes the report as a table.
func (c *client) saveReport(ctx context.Context, id store.BulkID, path string) error {
	r, err := c.send(ctx, "GET", "/bulk/"+string(id)+"/report/?format=csv", nil)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

func (r *bulkReport) print(w io.Writer) {
	j := r.Bulk
	word := "enrolled"
	if j.Check {
		word = "could be enrolled"
	}
	fmt.Fprintf(w, "%s: %d of %d people %s", j.State, j.Enrolled, j.People, word)
	for _, part := range []struct {
		n    int
		word string
	}{{j.Updated, "have a new face"}, {j.Exists, "were known already"}, {j.Refused, "refused"}, {j.Duplicates, "may be somebody else"}} {
		if part.n > 0 {
			fmt.Fprintf(w, ", %d %s", part.n, part.word)
		}
	}
	fmt.Fprintln(w)
	if j.Reason != "" {
		fmt.Fprintln(w, j.Reason)
	}
	for _, e := range r.Entries {
		if e.Outcome == store.BulkRefused {
			fmt.Fprintf(w, "  %s  refused: %s\n", e.Label, e.Reason)
			if e.Hint != "" {
				fmt.Fprintf(w, "      → %s\n", e.Hint)
			}
		}
		who := cmp.Or(e.Label, string(e.UserID), fmt.Sprintf("number %d", e.Number))
		for _, p := range e.Pictures {
			fmt.Fprintf(w, "  %s  picture %s not used: %s\n", who, p.Name, p.Reason)
		}
		if e.Twin > 0 {
			fmt.Fprintf(w, "  %s  looks like %s of this upload (numbers %d and %d)\n", who, cmp.Or(e.TwinLabel, string(e.DuplicateOf)), e.Number, e.Twin)
		}
		if e.DuplicateOf != "" && (e.Twin == 0 || e.TwinLabel != "") { // otherwise these are one
			fmt.Fprintf(w, "  %s  looks like %s, who is enrolled already\n", who, e.DuplicateOf)
		}
	}
}

// openPeople opens a ZIP, or makes one on the way of a folder, or of a table and
// the pictures that it names.
func openPeople(from string) (io.ReadCloser, error) {
	st, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(from)); {
	case st.IsDir():
		return packing(func(z *zip.Writer) error { return packFolder(z, from) }), nil
	case ext == ".zip":
		return os.Open(from)
	case ext == ".csv":
		raw, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		names, err := bulk.Images(raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", from, err)
		}
		return packing(func(z *zip.Writer) error { return packTable(z, raw, filepath.Dir(from), names) }), nil
	}
	return nil, fmt.Errorf("enrol from %s: want a table (.csv), an archive (.zip) or a folder", from)
}

// packing makes an archive while it is read.
func packing(pack func(*zip.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		z := zip.NewWriter(w)
		w.CloseWithError(errors.Join(pack(z), z.Close()))
	}()
	return r
}

// packFolder puts tables and pictures into the archive; links are not followed.
func packFolder(z *zip.Writer, root string) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".csv", ".jpg", ".jpeg", ".png":
			return packFile(z, name, filepath.ToSlash(rel))
		}
		return nil
	})
}

// packTable puts a table into the archive, and the pictures that it names from
// beside it. What is not there the box will say.
func packTable(z *zip.Writer, table []byte, dir string, names []string) error {
	w, err := z.Create("people.csv")
	if err != nil {
		return err
	}
	if _, err := w.Write(table); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, name := range names {
		clean := path.Clean(name)
		if seen[clean] || !filepath.IsLocal(filepath.FromSlash(clean)) {
			continue // one that leads elsewhere is not sent, and the box says that it is missing
		}
		seen[clean] = true
		err := packFile(z, filepath.Join(dir, filepath.FromSlash(clean)), clean)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func packFile(z *zip.Writer, from, as string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := z.CreateHeader(&zip.FileHeader{Name: as, Method: zip.Store})
	if err == nil {
		_, err = io.Copy(w, f)
	}
	return err
}
