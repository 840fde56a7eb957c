// Plasma runs this once for each user. The launchers that the panel begins with are for programs that the image has:
// the default set points at a software centre and at a browser that may not be there.
for (const panel of panels()) {
    for (const tasks of panel.widgets("org.kde.plasma.icontasks")) {
        tasks.currentConfigGroup = ["General"];
        tasks.writeConfig("launchers", [
            "applications:org.kde.konsole.desktop",
            "applications:org.kde.dolphin.desktop",
            "applications:org.kde.kate.desktop",
            "applications:systemsettings.desktop",
        ]);
    }
}
