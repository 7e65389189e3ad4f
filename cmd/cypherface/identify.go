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
--camera of what the box sees. Exit status: 0 somebody, 1 nobody, 2 error.

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
	var image any = map[string]string{"source": "camera"}
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
	if err := c.call(ctx, "POST", "/identify/", image, &found); err != nil {
		return err
	}
	if found.Match {
		u, err := c.user(ctx, found.UserID)
		if err != nil {
			return err
		}
		found.Name = u.Firstname + " " + u.Lastname
	}
	switch {
	case *asJSON:
		err = printJSON(t.out, found)
	case found.Match:
		_, err = fmt.Fprintf(t.out, "%s  %s  similarity %.1f (%.1f is enough)\n", found.Name, found.UserID, found.Similarity, found.Threshold)
	case len(found.Candidates) > 1:
		_, err = fmt.Fprintf(t.out, "nobody: %d people resemble the face\n", len(found.Candidates))
		for _, c := range found.Candidates {
			fmt.Fprintf(t.out, "  %s  similarity %.1f\n", c.UserID, c.Similarity)
		}
	default:
		_, err = fmt.Fprintf(t.out, "nobody of %d  similarity %.1f (%.1f is enough)\n", found.Gallery, found.Similarity, found.Threshold)
	}
	if err == nil && !found.Match {
		return errNo
	}
	return err
}
