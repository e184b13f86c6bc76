"""``python -m igpo_lightning.export run=FOLDER output_dir=FOLDER``: a checkpoint as a model folder."""

from igpo_lightning.cli import entry

main = entry("export", "igpo_lightning.exporting:run")

if __name__ == "__main__":
    main()
