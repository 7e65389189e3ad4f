package main

import (
	"context"
	"fmt"
)

func identifyCommand() command {
	return command{
		name: "identify", args: "[flags] IMAGE",
		summary: "who of the enrolled people is it?",
		help: `Searches all enrolled people for the dominant face of an image, or with
--camera of whoever stands before the box within a minute and a half.
Exit status: 0 somebody, 1 nobody, 2 error.

  cypherface identify door.jpg
  cypherface identify --camera --json
`,
		run: runIdentify,
	}
}

// identification is the answer of identify.
type identification struct {
	Match      bool    `json:"match"`
	UserID     string  `json:"userId,omitempty"`
	Name       string  `json:"name,omitempty"`
	Similarity float64 `json:"similarity"`
	Threshold  float64 `json:"threshold"`
	Gallery    int     `json:"gallery"`
	Faces      int     `json:"faces"`
	Candidates []struct {
		UserID     string  `json:"userId"`
		Similarity float64 `json:"similarity"`
	} `json:"candidates"` // all at or above the threshold
}

func runIdentify(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := identifyCommand().flags(t)
	box := addBoxFlags(fs, t)
	camera := fs.Bool("camera", false, "identify whom the box's camera sees")
	files, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if *camera != (len(files) == 0) || len(files) > 1 {
		fs.Usage()
		return errUsage
	}
	var image *pictures
	if !*camera {
		if image, err = readPictures(files, nil); err != nil {
			return err
		}
	}
	c, err := box.connect(ctx, t, true)
	if err != nil {
		return err
	}
	defer c.Close()
	var found identification
	if image == nil {
		err = c.look(ctx, t, "/identify/", &found)
	} else {
		err = c.call(ctx, "POST", "/identify/", image, &found)
	}
	if err != nil {
		return err
	}
	if found.Match {
		u, err := c.user(ctx, found.UserID)
		if err != nil {
			return err
		}
		found.Name = u.Firstname + " " + u.Lastname
	}
	if *asJSON {
		err = printJSON(t.out, found)
	} else {
		found.print(t)
	}
	if err == nil && !found.Match {
		return errNo
	}
	return err
}

func (f *identification) print(t *terminal) {
	switch {
	case f.Match:
		fmt.Fprintf(t.out, "%s  %s  similarity %.1f (%.1f is enough)\n", f.Name, f.UserID, f.Similarity, f.Threshold)
	case len(f.Candidates) > 1:
		fmt.Fprintf(t.out, "nobody: %d people resemble the face\n", len(f.Candidates))
		for _, c := range f.Candidates {
			fmt.Fprintf(t.out, "  %s  similarity %.1f\n", c.UserID, c.Similarity)
		}
	default:
		fmt.Fprintf(t.out, "nobody of %d  similarity %.1f (%.1f is enough)\n", f.Gallery, f.Similarity, f.Threshold)
	}
}
