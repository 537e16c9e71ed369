"""Examples of every command, for its help: what to type, and what it does. A test parses each."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "init": (
        ("wherry init --dry", "look at the project, write nothing"),
        ("wherry init --image registry.example.org/team:3", "with an image of your own"),
        ("wherry init --write-remote", "`dvc pull` and `dvc push` use the service's bucket, too"),
    ),
    "up": (("wherry up", "a service on this machine, ready when it returns"),),
    "down": (("wherry down", "runs that are going on end"),),
    "server": (
        ("wherry server --config /etc/wherry.toml", "as a supervisor starts it"),
        ("wherry server --listen 127.0.0.1:7070", "on a port of your choice"),
    ),
    "service status": (
        ("wherry service status", "where it is, and whether it answers"),
        ("wherry service status --json", "the same for a script"),
    ),
    "service logs": (("wherry service logs -f", "as it is written"),),
    "repro": (
        ("wherry repro", "all stages of dvc.yaml here"),
        ("wherry repro train -S train.lr=0.05", "one stage and what it needs, with another parameter"),
        ("wherry repro -d --json", "submit and return; the name of the run for a script"),
        ("wherry repro --rev v1.2", "a commit instead of the folder"),
    ),
    "exp run": (
        ("wherry exp run -S train.lr=0.01,0.1 -n lr", "two runs: lr-1, lr-2"),
        ("wherry exp run -S 'seed=range(1,6)' --queue", "five runs, submitted and left alone"),
    ),
    "exp show": (
        ("wherry exp show --only-changed", "the runs out of this commit, and what differs between them"),
        (
            "wherry exp show -n 5 --sort-by acc --sort-order desc",
            "of the last five commits, the best run first",
        ),
    ),
    "exp branch": (
        ("wherry exp branch 12 better-lr", "its sources, params, dvc.lock and uncached outputs, in git"),
        ("wherry exp branch brave-otter", "called brave-otter-branch"),
    ),
    "metrics show": (
        ("wherry metrics show", "all metrics of the project"),
        ("wherry metrics show -a --md eval/metrics.json", "one file, in every branch, as Markdown"),
    ),
    "metrics diff": (
        ("wherry metrics diff", "the workspace against HEAD"),
        ("wherry metrics diff main run:12", "a run against a branch"),
        ("wherry metrics diff 12 13 --json", "two runs, for a script"),
    ),
    "params diff": (
        ("wherry params diff", "the workspace against HEAD"),
        ("wherry params diff main run:12 --md", "a run against a branch, as Markdown"),
    ),
    "plots show": (
        ("wherry plots show --open", "all plots of the project, in a browser"),
        ("wherry plots show --format svg -o figures", "a file for each, for a paper"),
        ("wherry plots show logs.csv -x step -y loss", "a file that need not be declared"),
    ),
    "plots diff": (
        ("wherry plots diff main run:12 run:13", "two runs over a branch"),
        ("wherry plots diff --targets logs.csv --show-vega", "the specification, for another program"),
    ),
    "plots templates": (("wherry plots templates simple", "what a template of one's own begins from"),),
    "status": (
        ("wherry status", "what would run, and why"),
        ("wherry status -q || echo work", "in a script: exit code 1 when something would run"),
        ("wherry status --dvc", "as `dvc status` says it"),
    ),
    "why": (
        ("wherry why train", "why it would run, or whose result it gets"),
        ("wherry why train --run 7", "why it ran then"),
    ),
    "dag": (
        ("wherry dag", "the stages and what they are made of"),
        ("wherry dag --mermaid train", "a drawing of what one stage needs"),
    ),
    "lint": (("wherry lint", "every mistake, with file, line and column"),),
    "stage add": (
        (
            "wherry stage add -n train -d train.py -o model.pkl python train.py",
            "as `dvc stage add`, comments stay",
        ),
    ),
    "ps": (
        ("wherry ps", "the newest runs of this project"),
        ("wherry ps -a -n 50", "of all projects"),
    ),
    "show": (
        ("wherry show 7", "how each stage ended"),
        ("wherry show brave-otter --json", "all that is known of it"),
    ),
    "logs": (
        ("wherry logs 7", "of all stages"),
        ("wherry logs 7 train -f", "of one, as it is written"),
    ),
    "open": (
        ("wherry open 7", "in the browser of this machine"),
        ("wherry open 7 -o report.html", "keep it, or send it to somebody"),
    ),
    "attach": (("wherry attach 7", "watch again, and get the results at its end"),),
    "wait": (
        ("wherry wait 7 8", "return when both have ended"),
        ("wherry wait 7 --timeout 3600", "at most an hour: exit code 4 then"),
    ),
    "stop": (("wherry stop 7", "its containers are removed"),),
    "retry": (
        ("wherry retry 7", "the same project once more; what succeeded is used"),
        ("wherry retry 7 --from train", "train and all after it run again"),
    ),
    "apply": (
        ("wherry apply 7", "its dvc.lock, params and small outputs, here"),
        ("wherry apply 7 --force", "over files that you changed since"),
    ),
    "pull": (
        ("wherry pull", "what is known for the project as it stands"),
        ("wherry pull 7 models", "one output of a run"),
    ),
    "dvc-remote": (
        ("wherry dvc-remote --write", "then `dvc pull` and `dvc push` work"),
        ("wherry dvc-remote --json", "for another program; with the secret key"),
    ),
    "cache ls": (
        ("wherry cache ls", "the newest results of everybody"),
        ("wherry cache ls train.py --user bob", "of one command, of one user"),
    ),
    "cache show": (("wherry cache show 3f9a21", "what it was computed from"),),
    "cache diff": (("wherry cache diff 3f9a21 77c0de", "why they are two"),),
    "cache stats": (("wherry cache stats --days 7", "what a week of sharing saved"),),
    "cache rm": (("wherry cache rm 3f9a21", "its stage runs again when it is wanted"),),
    "cache pin": (("wherry cache pin 3f9a21", "gc leaves it alone"),),
    "cache gc": (
        ("wherry cache gc --dry", "what nobody used for 90 days"),
        ("wherry cache gc --unused 30d -y", "delete it, in a nightly job"),
    ),
    "cache fsck": (
        ("wherry cache fsck", "read a sample of the store again"),
        ("wherry cache fsck --full", "read all of it"),
    ),
    "ci report": (
        ("wherry ci report 7", "Markdown: states, savings, metrics, graph"),
        ("wherry ci report 7 --base origin/main -o report.md", "against a branch, into a file"),
    ),
    "secret set": (("wherry secret set HF_TOKEN < token.txt", "from a file, or typed unseen"),),
    "secret ls": (("wherry secret ls", "names and times, no values"),),
    "secret rm": (("wherry secret rm HF_TOKEN", "stages that want it are refused then"),),
    "doctor": (("wherry doctor", "what works, and what to fix"),),
    "login": (
        ("wherry login grpcs://wherry.example.org --token - < token.txt", "keep it, and use it from now on"),
        ("wherry login grpcs://gpu.example.org --name gpu", "one more, under a name of its own"),
    ),
    "logout": (("wherry logout", "forget the one in use"),),
    "whoami": (("wherry whoami", "which service, and as whom"),),
    "token create": (
        ("wherry token create ana --expires 90d", "for ana, for three months; printed once"),
        ("wherry token create ci-nightly --user ci", "for a job, until it is removed"),
    ),
    "token ls": (("wherry token ls", "who has one, and when it was used last"),),
    "token rm": (("wherry token rm ci-nightly", "nobody is let in with it any more"),),
    "profile ls": (("wherry profile ls", "those that you have logged in to"),),
    "profile use": (
        ("wherry profile use gpu", "from now on"),
        ("wherry profile use --none", "the service of this machine again"),
    ),
    "profile rm": (("wherry profile rm gpu", "forget it"),),
    "config": (
        ("wherry config --show-origin", "what counts, and who says so"),
        ("wherry config server grpcs://wherry.example.org", "for everybody who works on this project"),
    ),
    "completion": (
        ('eval "$(wherry completion bash)"', "in ~/.bashrc"),
        ("wherry completion fish > ~/.config/fish/completions/wherry.fish", "for fish"),
    ),
    "version": (("wherry version", "of this client"),),
}
